"""D(y) = y - grad g(y), a denoiser with a potential g, from a network R.

    y        noisy image, gray, values in [0, 1]                      [n, 1, h, w] float32
    sigma    its noise level, in the same unit, where it is told so   [n, 1, 1, 1]
    R        a network; R(y) is                                       [n, m, h, w]
    g        |R(y)|^2 / 2, the potential; its share of each pixel     as y
    J_R      the Jacobian of R in y
    D        y - J_R^T R(y)                                           as y

After Cohen et al., "It has potential: gradient-driven denoisers for convergent solutions to
inverse problems" (2021), and Hurault, Leclaire and Papadakis, "Gradient step denoiser for
convergent plug-and-play" (2022). They have m = 1 and R(y) = y - N(y). Here R has m channels, so
that g is a sum of m squares a pixel.

J_D = I - (Hessian of g) is symmetric, and the operator of RED is the gradient of f + tau g >= 0:
every descent on that ends at a stationary point, whatever the norm of J_D. It asks for a gradient
of g that is Lipschitz on bounded sets, not for more. So the ReLU of R has its corner rounded to a
parabola, as in Huber's function, and its derivative is a clip:

    rho(r) = c (r - c / 2) / CORNER,    rho'(r) = c / CORNER,    c = clip(r, 0, CORNER).
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

CORNER = 0.2
"""Where the parabola ends and the slope is 1; a feature is of the size of 1, as y is."""
START = 0.3
"""Size of R at first: D starts near the identity, but not at R = 0, where g has no slope."""


class GradientStep(nn.Module):
    """D. R is ``layers`` 3x3 convolutions with bias and zero padding, rho between them."""

    def __init__(
        self, channels: int, layers: int, outputs: int, *, conditional: bool = False
    ) -> None:
        super().__init__()
        self.conditional, self.dtype = conditional, torch.float32
        widths = [1 + conditional, *[channels] * (layers - 1), outputs]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)
        )
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            self.convolutions[-1].weight.mul_(START / outputs**0.5)

    def forward(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        """D(y)."""
        return self.with_potential(y, sigma)[0]

    def with_potential(self, y: Tensor, sigma: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """D(y), and g(y) pixel by pixel."""
        r, slopes = self.residual(y, sigma)
        return y - self.adjoint(slopes, r), r.square().sum(1, keepdim=True) / 2

    def residual(self, y: Tensor, sigma: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """R(y), and rho' of each hidden layer."""
        r, slopes = y, []
        if self.conditional:
            r = torch.cat([y, sigma.expand_as(y)], 1)
        for convolution in self.convolutions[:-1]:
            r = convolution(r)
            slopes.append(functional.hardtanh(r, 0, CORNER) / CORNER)
            r = slopes[-1] * (r - slopes[-1] * (CORNER / 2))
        return self.convolutions[-1](r), slopes

    def adjoint(self, slopes: list[Tensor], v: Tensor) -> Tensor:
        """J_R^T v, with the convolutions transposed; differentiable in the weights as it stands."""
        weights = [transposed(convolution.weight) for convolution in self.convolutions]
        for weight, slope in zip(weights[:0:-1], slopes[::-1], strict=True):
            v = functional.conv2d(v, weight, padding=1) * slope
        return functional.conv2d(v, weights[0][:1], padding=1)

    def revive(self, mean: "GradientStep", y: Tensor, sigma: Tensor) -> None:
        """Nothing here is drawn anew."""


def transposed(weight: Tensor) -> Tensor:
    """The weight [b, a, 3, 3] of a zero-padded convolution's transpose, [a, b, 3, 3]."""
    return weight.flip(2, 3).transpose(0, 1)
