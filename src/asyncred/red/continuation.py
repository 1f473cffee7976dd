"""Continuation: strong denoising first, the denoiser as it is at the end.

    D_k(x) = D(k x) / k,    k = 0.1^(1 - e/E) in epoch e < E, 1 from E on

On k x, whose contrast is low, D takes for noise what is 1/k times as strong on x: a denoiser for
one noise level stands for those of a whole sequence, which brings the large structures of x about
in few epochs. e counts the updates of all ranks: with a clock of its own each, neighbours of a
slow rank would meet another D across the border. From E on the iteration, and so its fixed point,
is what it would be without. Where D has the potential g, D_k has g(k x) / k^2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncred.denoisers.onnx import Denoiser
from asyncred.operators import Image

FIRST = 0.1
"""k at the start."""


class Continued:
    """D_k, k from the epoch that ``epoch`` tells; D of images in [0, 1]."""

    def __init__(self, D: Denoiser, epoch: Callable[[], float], length: float) -> None:
        self.halo, self.align = D.halo, D.align
        self._D, self._epoch, self._length = D, epoch, length

    def __call__(self, x: Image) -> Image:
        """The clean image, float32 [h, w]."""
        k = self._now()
        out: Image = self._D(k * x) / k
        return out

    def with_potential(self, x: Image) -> tuple[Image, Image]:
        """The clean image, and the share of each pixel in the potential of D_k."""
        k = self._now()
        clean, potential = self._D.with_potential(k * x)
        return clean / k, potential / k**2

    def _now(self) -> np.float32:
        """k."""
        return np.float32(FIRST ** max(0.0, 1 - self._epoch() / self._length))
