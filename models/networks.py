"""The networks that are trained here, and the Jacobian of what the first computes.

    y        noisy image, gray, values in [0, 1]          [n, 1, h, w] float32
    sigma    its noise level, in the same unit, where it is told so  [n, 1, 1, 1]
    R        the network, an estimate of the noise        as y
    D        y - R(y), the denoiser; J_D its Jacobian

Hidden layers of a Stack compute in ``dtype``, everything else in float32: bfloat16 resolves values
near 1 to 1/256 only, which is enough for features, not for y.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Signs = list[Tensor]
"""Of each hidden layer: whether its ReLU lets through; [n, channels, h, w] bool."""


class Stack(nn.Module):
    """R: 3x3 convolutions with bias and zero padding, dilated or not, ReLU between them.

    After Zhang et al., "Learning deep CNN denoiser prior for image restoration" (2017). R is
    piecewise linear: where the signs inside it are known, J_R is the stack without its biases.
    """

    def __init__(
        self, channels: int, dilations: Sequence[int], *, conditional: bool = False
    ) -> None:
        super().__init__()
        self.conditional, self.dtype = conditional, torch.float32
        widths = [1 + conditional, *[channels] * (len(dilations) - 1), 1]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=dilation, dilation=dilation)
            for (a, b), dilation in zip(itertools.pairwise(widths), dilations, strict=True)
        )
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
        with torch.no_grad():  # R starts small, at about the size of the noise it is to find
            self.convolutions[-1].weight.mul_(0.02)

    def forward(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        """D(y)."""
        return self.linearized(y, sigma)[0]

    def linearized(self, y: Tensor, sigma: Tensor | None = None) -> tuple[Tensor, Signs]:
        """D(y), and the signs that `jacobian` and `adjoint` take."""
        r, signs = y, []
        if self.conditional:
            r = torch.cat([y, sigma.expand_as(y)], 1)
        for k, convolution in enumerate(self.convolutions):
            r = self._convolve(k, r, convolution.bias)
            if k < len(self.convolutions) - 1:
                r = torch.relu(r)
                signs.append((r > 0).detach())
        return y - r.float(), signs

    @torch.no_grad()
    def revive(self, mean: "Stack", y: Tensor, sigma: Tensor) -> None:
        """Draw anew the weights into channels whose ReLU is 0 on a whole batch: they learn nothing.

        The weights out of them become 0, so that D stays what it is; ``mean``, the running mean,
        is changed along.
        """
        for k, lets_through in enumerate(self.linearized(y, sigma)[1]):
            dead = ~lets_through.any(0).flatten(1).any(1)
            weight = self.convolutions[k].weight
            new = torch.randn_like(weight[dead])
            new *= weight[~dead].square().mean().sqrt()
            for network in (self, mean):
                network.convolutions[k].weight[dead] = new
                network.convolutions[k].bias[dead] = 0
                network.convolutions[k + 1].weight[:, dead] = 0

    def jacobian(self, signs: Signs, u: Tensor) -> Tensor:
        """J_D u; differentiable in the weights."""
        r = torch.cat([u, torch.zeros_like(u)], 1) if self.conditional else u
        for k in range(len(self.convolutions)):
            r = self._convolve(k, r, None)
            if k < len(signs):
                r = r * signs[k]
        return u - r.float()

    def adjoint(self, signs: Signs, v: Tensor) -> Tensor:
        """J_D^T v."""
        r = v
        for k in reversed(range(len(self.convolutions))):
            weight, reach = self.convolutions[k].weight, self.convolutions[k].dilation
            dtype = self._dtype(k)
            r = functional.conv_transpose2d(
                r.to(dtype), weight.to(dtype), padding=reach, dilation=reach
            )
            if k > 0:
                r = r * signs[k - 1]
        return v - r[:, :1].float()

    def _convolve(self, k: int, r: Tensor, bias: Tensor | None) -> Tensor:
        weight, reach = self.convolutions[k].weight, self.convolutions[k].dilation
        dtype = self._dtype(k)
        if bias is not None:
            bias = bias.to(dtype)
        return functional.conv2d(r.to(dtype), weight.to(dtype), bias, padding=reach, dilation=reach)

    def _dtype(self, k: int) -> torch.dtype:
        return self.dtype if k > 0 else torch.float32


class Unrolled(nn.Module):
    """D = x_K by iterations like those of tv.py with learned filters, nonexpansive by construction.

        x_{k+1} = (1 - a_k) (x_k - W_k^T clip_k(W_k x_k)) + a_k y,    x_0 = y

    W_k x are the inner convolutions of x with ``channels`` filters of 3x3 pixels and mean 0; clip_k
    shortens each ``group`` of them at each pixel to a Euclidean norm of at most exp(t_k) (15/255)
    (255 sigma / 15)^p_k; a_k / (1 - a_k) = exp(m_k) (255 sigma / 15)^q_k. clip_k is the gradient of
    a convex function and has Lipschitz constant 1, and |W_k|^2 <= 2 as the filters are scaled; so a
    step of 1 along W_k^T clip_k(W_k x) is nonexpansive (Baillon and Haddad 1977), and D is by
    induction as in tv.py. After Goujon et al., "A neural-network-based convex regularizer for
    inverse problems" (2023), which learns one such function for all steps.
    """

    conditional, dtype = True, torch.float32

    def __init__(self, iterations: int, channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.iterations = iterations
        start = 0.1 * torch.randn(iterations, channels, 3, 3)
        start[:, :8] = _cosines()[:channels]
        start += 0.01 * torch.randn_like(start)
        self.filters = nn.Parameter(start.flatten(0, 1)[:, None])
        self.scales = nn.Parameter(torch.ones(iterations))
        self.thresholds = nn.Parameter(
            torch.full((iterations, channels // group), -math.log(iterations / math.sqrt(group)))
        )
        self.powers = nn.Parameter(torch.full((iterations,), 1.1))
        self.mixes = nn.Parameter(torch.full((iterations,), -4.0))
        self.mix_powers = nn.Parameter(torch.full((iterations,), 0.1))

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """D(y); images have at least 3x3 pixels."""
        x, e = y, torch.zeros(())
        for w, threshold, power, mix, mix_power in zip(*self.steps(), strict=True):
            delta = threshold[:, None, None, None] * sigma[:, None] ** power
            g = functional.conv2d(x, w).unflatten(1, (-1, self.group))
            norm = torch.maximum(g.square().sum(2, keepdim=True), delta.square()).clamp(TINY).sqrt()
            clipped = (g * (delta / norm)).flatten(1, 2)
            e = (e - functional.conv_transpose2d(clipped, w)) / (1 + mix * sigma**mix_power)
            x = y + e
        return x

    def steps(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What step k computes with, each by k: W_k, the factors of sigma^p_k and sigma^q_k.

        In the order W_k [channels, 1, 3, 3]; exp(t_k) times what makes sigma^p_k of it, [groups];
        p_k; the same with exp(m_k); q_k.
        """
        w = self.filters.unflatten(0, (self.iterations, -1))
        w = w - w.mean((3, 4), keepdim=True)
        largest = symbol_bound(w) / (2 * torch.sigmoid(self.scales))
        w = w / largest.sqrt()[:, None, None, None, None]
        factor = self.thresholds.exp() * UNIT ** (1 - self.powers[:, None])
        mix_power = self.mix_powers.abs()
        return w, factor, self.powers, self.mixes.exp() * UNIT**-mix_power, mix_power

    def revive(self, mean: "Unrolled", y: Tensor, sigma: Tensor) -> None:
        """Nothing here dies."""


UNIT = 15 / 255
"""The noise level that thresholds are measured in."""
TINY = 1e-30
"""Stands in for the square of a norm where it and sigma are 0: D is then the identity."""


def symbol_bound(w: Tensor) -> Tensor:
    """An upper bound of |W|^2 on images of any size, [k], of filters [k, channels, 1, 3, 3].

    W^T W convolves with one kernel; its norm is at most the largest value of its transform, a
    trigonometric polynomial of degree 2 along each axis. That is at most its largest value on N
    points an axis divided by cos(2 pi / N) for each axis (Ehlich and Zeller 1964).
    """
    n = 64
    transform = torch.fft.rfft2(w[:, :, 0], s=(n, n))
    on_grid = transform.abs().square().sum(1).amax((1, 2))
    return on_grid / math.cos(2 * math.pi / n) ** 2


def _cosines() -> Tensor:
    """The discrete cosine transform of 3x3 pixels without its mean, [8, 3, 3]."""
    n = torch.arange(3.0)
    one = torch.cos(math.pi * (n + 0.5) * n[:, None] / 3)
    one = one / torch.linalg.vector_norm(one, dim=1, keepdim=True)
    return torch.einsum("ai,bj->abij", one, one).flatten(0, 1)[1:]


def unit(u: Tensor) -> Tensor:
    """u / |u|, image by image."""
    return u / torch.linalg.vector_norm(u, dim=(1, 2, 3), keepdim=True)


def power_iteration(
    denoiser: Stack, signs: Signs, u: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """|J_D|_2 [n] and its right singular vectors, from u [n, 1, h, w], by powers of J^T J.

    A lower bound that rises with iterations; the norm is differentiable in the weights.
    """
    with torch.no_grad():
        for _ in range(iterations):
            u = unit(denoiser.adjoint(signs, denoiser.jacobian(signs, unit(u))))
    return torch.linalg.vector_norm(denoiser.jacobian(signs, u), dim=(1, 2, 3)), u
