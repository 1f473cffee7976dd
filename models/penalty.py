"""The penalty on |J_D|_2 > 1 - margin, over the hardest points found so far and new ones.

After Pesquet et al., "Learning maximally monotone operators for image recovery" (2021): it makes D
nonexpansive at the points z that it sees. These are x, D(y), and on the line from them along the
noise y - x. For a Stack.
"""

import torch
from torch import Tensor

from networks import Stack, power_iteration, unit


class HardPoints:
    """The points where |J_D|_2 was largest, with their singular vectors to start again from."""

    def __init__(self, size: int, side: int) -> None:
        self._size = size
        self._z = torch.zeros(0, 1, side, side)
        self._u, self._sigma = self._z.clone(), torch.zeros(0, 1, 1, 1)
        self._norm = torch.zeros(0)
        self._picked = torch.zeros(0, dtype=torch.int64)

    def draw(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """At most n points, their noise levels and vectors: half from the hardest 32."""
        hardest = torch.topk(self._norm, min(len(self._norm), 32)).indices
        some = hardest[torch.randperm(len(hardest))[: n // 2]]
        others = torch.randperm(len(self._norm))[: n - len(some)]
        self._picked = torch.cat([some, others]).unique()
        return self._z[self._picked], self._sigma[self._picked], self._u[self._picked]

    def put_back(self, z: Tensor, sigma: Tensor, u: Tensor, norm: Tensor) -> None:
        """Store new points, and before them what the drawn ones have become; keep the hardest."""
        old = len(self._picked)
        self._norm[self._picked], self._u[self._picked] = norm[:old], u[:old]
        self._z, self._u = torch.cat([self._z, z[old:]]), torch.cat([self._u, u[old:]])
        self._sigma = torch.cat([self._sigma, sigma[old:]])
        self._norm = torch.cat([self._norm, norm[old:]])
        keep = torch.topk(self._norm, min(len(self._norm), self._size)).indices
        self._z, self._u = self._z[keep], self._u[keep]
        self._sigma, self._norm = self._sigma[keep], self._norm[keep]


def points(x: Tensor, y: Tensor, clean: Tensor, side: int, n: int) -> tuple[Tensor, Tensor]:
    """n points for the penalty, [n, 1, side, side], and which images of the batch they are from.

    The clean image or D(y), ``clean``, plus from none to one and a half times the noise.
    """
    top, left = (int(torch.randint(x.shape[2] - side + 1, ())) for _ in "hw")
    images = torch.randperm(len(x))[:n]
    x, y, clean = (
        image[images, :, top : top + side, left : left + side] for image in (x, y, clean)
    )
    centre = torch.where(torch.rand(len(x), 1, 1, 1) < 0.35, clean, x)
    share = (2 * torch.rand(len(x), 1, 1, 1) - 0.5).clamp(min=0)
    return centre + share * (y - x), images


def penalty(denoiser: Stack, hard: HardPoints, z: Tensor, sigma: Tensor, margin: float) -> Tensor:
    """Mean square excess of |J_D|_2 over 1 - margin, over new points z and as many hard ones."""
    with torch.no_grad():
        signs = denoiser.linearized(z, sigma)[1]
        u = power_iteration(denoiser, signs, torch.randn_like(z), 4)[1]
    old = hard.draw(len(z))
    z, sigma, u = (torch.cat(pair) for pair in zip(old, (z, sigma, u), strict=True))
    with torch.no_grad():
        signs = denoiser.linearized(z, sigma)[1]
    norm, u = power_iteration(denoiser, signs, unit(u), 2)
    hard.put_back(z, sigma, u, norm.detach())
    return (norm - (1 - margin)).relu().square().mean()
