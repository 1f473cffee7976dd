"""An approximate inverse of A_i^T A_i + mu I by the fast Fourier transform: a preconditioner.

    M v = crop F^-1 [F pad v / (q + mu)],    q = Re F (A_i^T A_i e), not below 0

pad puts the block into one of twice its sides, filled with 0, F is the Fourier transform there, and
e a pixel in the middle of the block. Where A_i^T A_i is a convolution, as of a blur, this is nearly
the inverse; in tomography and MRI it is one as far as the response of a pixel is the same
everywhere (the circulant preconditioners of T. Chan, SIAM J. Sci. Stat. Comput. 9, 1988; for
tomography Fessler, Booth, IEEE Trans. Image Process. 8(5), 1999). M is symmetric and positive
definite whatever A is, so that conjugate gradients may use it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.operators import Image
from asyncred.red.proximal import conjugate_gradients

TRIED = 2
"""Side of the square of pixels whose responses are averaged: A need not treat all alike."""


REPEATED = 8
"""Updates by which it is decided whether M helps."""


class Circulant:
    """M for one block; ``mu`` may differ from call to call."""

    def __init__(
        self, normal: Callable[[Image], Image], shape: tuple[int, int], dtype: np.dtype[np.generic]
    ) -> None:
        """``normal`` applies A_i^T A_i to images of ``shape`` and ``dtype``."""
        h, w = shape
        self._shape, self._sides, self._dtype = shape, (2 * h, 2 * w), dtype
        total: NDArray[np.float64] = np.zeros(self._sides)
        for row in range(h // 2, min(h // 2 + TRIED, h)):
            for column in range(w // 2, min(w // 2 + TRIED, w)):
                unit = np.zeros(shape, dtype)
                unit[row, column] = 1
                response = np.zeros(self._sides, dtype)
                response[:h, :w] = normal(unit)
                q = scipy.fft.fft2(np.roll(response, (-row, -column), axis=(0, 1))).real
                total += np.maximum(q, 0) / TRIED**2
        self._q = total.astype(np.float32)
        if not np.issubdtype(dtype, np.complexfloating):
            self._q = self._q[:, : w + 1].copy()  # of a real image half tells all

    def __call__(self, v: Image, mu: float) -> Image:
        """M v."""
        h, w = self._shape
        weights = self._q + np.float32(mu)
        if np.iscomplexobj(v):
            found = scipy.fft.ifft2(scipy.fft.fft2(v, self._sides) / weights)
        else:
            found = scipy.fft.irfft2(scipy.fft.rfft2(v, self._sides) / weights, self._sides)
        out: Image = found[:h, :w].astype(v.dtype, copy=False)
        return out

    def helps(
        self,
        normal: Callable[[Image], Image],
        mu: float,
        steps: int,
        rng: np.random.Generator,
    ) -> bool:
        """Whether so many steps of conjugate gradients, time and again, come nearer with M.

        From an error drawn at random, in the norm of A_i^T A_i + mu I. The first few steps take
        what is easy; what is left after more tells how the error dies out that an update leaves.
        """
        drawn = rng.standard_normal(self._shape).astype(self._dtype)

        def hessian(v: Image) -> Image:
            out: Image = normal(v) + np.float32(mu) * v
            return out

        def left(precondition: Callable[[Image], Image]) -> float:
            error = drawn
            for _ in range(REPEATED):
                error = error - conjugate_gradients(
                    hessian, hessian(error), steps, precondition=precondition
                )
            return float(np.vdot(error, hessian(error)).real)

        return left(lambda v: self(v, mu)) < left(lambda v: v)
