"""The network that is trained here, and the Jacobian of what it computes.

    y        noisy image, gray, values in [0, 1]          [n, 1, h, w] float32
    sigma    its noise level, in the same unit, where it is told so  [n, 1, 1, 1]
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
