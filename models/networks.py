"""The networks that are trained here, and the Jacobian of what the simpler one computes.

    y        noisy image, gray, values in [0, 1]          [n, 1, h, w] float32
    sigma    its noise level, in the same unit, for a network that is told  [n, 1, 1, 1]
    R        the network, an estimate of the noise        as y
    D        y - R(y), the denoiser; J_D its Jacobian

Hidden layers compute in ``dtype``, everything else in float32: bfloat16 resolves values near 1 to
1/256 only, which is enough for features, not for y.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Signs = list[Tensor]
"""Of each hidden layer: whether its ReLU lets through; [n, channels, h, w] bool."""

SMALL = 0.02
"""R starts at about this size, which is that of the noise it is to find."""


def _initialize(convolutions: Sequence[nn.Module], last: nn.Conv2d) -> None:
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)
    with torch.no_grad():
        last.weight.mul_(SMALL)


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
        _initialize(list(self.convolutions), self.convolutions[-1])

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


class UNet(nn.Module):
    """R: residual blocks at a half and a quarter of the resolution, told the noise level.

    The image is folded into the four images of its even and odd rows and columns first (Zhang et
    al., "FFDNet", 2018); the blocks are those of DRUNet (Zhang et al., "Plug-and-play image
    restoration with deep denoiser prior", 2021). Sides are multiples of 4.
    """

    conditional = True

    def __init__(self, half: int, quarter: int, blocks: int) -> None:
        super().__init__()
        self.dtype = torch.float32
        self.head = nn.Conv2d(5, half, 3, padding=1)
        self.before = nn.ModuleList(_Block(half) for _ in range(1))
        self.down = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = nn.ModuleList(_Block(quarter) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.after = nn.ModuleList(_Block(half) for _ in range(1))
        self.tail = nn.Conv2d(half, 4, 3, padding=1)
        _initialize([self.head, self.down, self.up, self.tail], self.tail)

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """D(y)."""
        r = functional.pixel_unshuffle(y, 2)
        r = self.head(torch.cat([r, sigma.expand(len(r), 1, *r.shape[2:])], 1))
        with torch.autocast(y.device.type, self.dtype, enabled=self.dtype != torch.float32):
            r = r.to(self.dtype)
            for block in self.before:
                r = block(r)
            inner = self.down(r)
            for block in self.middle:
                inner = block(inner)
            r = r + self.up(inner)
            for block in self.after:
                r = block(r)
            r = self.tail(r)
        return y - functional.pixel_shuffle(r.float(), 2)


class _Block(nn.Module):
    """r + B relu(A r): two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        _initialize([self.first, self.second], self.second)
        with torch.no_grad():  # near the identity, though not as near as R is to 0
            self.second.weight.mul_(0.2 / SMALL)

    def forward(self, r: Tensor) -> Tensor:
        return r + self.second(torch.relu(self.first(r)))


Denoiser = Stack | UNet


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
