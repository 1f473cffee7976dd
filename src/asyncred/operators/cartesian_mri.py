"""Multi-coil Cartesian MRI: y_c = M F (s_c x), on the blocks of x.

    s_c  sensitivity of coil c        F  centred orthonormal 2-D Fourier transform
    M    the sampled points of k-space

Centred as in the fastMRI data set (Zbontar et al. 2018, arXiv:1811.08839): the origin of image and
k-space is pixel n // 2 of each side, F = fftshift fft2 ifftshift. SENSE is the name of the model
with several coils (Pruessmann et al. 1999).

The inner product is the real part of the complex one, and A^T below the conjugate transpose.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators.protocols import Footprint, Image, Rows

Complex = NDArray[np.complex64]

WEAK = 0.05
"""Of the largest sum of squares of the sensitivities: noise is not raised beyond this."""


class CartesianMri:
    """A ``ForwardModel`` whose groups are the coils.

    ``mask`` bool [H, W] says which points of k-space are sampled, zero frequency at [H//2, W//2];
    ``coils`` maps the blocks that will be asked for to s_c there, complex64 [C, h, w]; None stands
    for one coil of ones. The measurements of a coil are ``kspace[c, mask]`` (row-major) as a
    float32 view, real and imaginary part in turn, so length is twice the number of sampled points.
    Every block touches all of them. Images of a stack may differ in mask, with y of one length:
    that of ``most`` sampled points, with 0 after the own ones.

    On a grid of one block ``forward`` is A x and ``adjoint`` the zero-filled image of the whole.
    ``threads`` is the number of threads of the transforms. Raises ValueError.
    """

    dtype = np.complex64

    def __init__(
        self,
        grid: BlockGrid,
        mask: NDArray[np.bool_],
        coils: Mapping[int, Complex] | None,
        *,
        threads: int,
        most: int | None = None,
    ) -> None:
        if mask.shape != grid.shape or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"mask is {mask.dtype} {list(mask.shape)}, {np.count_nonzero(mask)} set, "
                f"expected bool {list(grid.shape)}, some set"
            )
        self.groups = 1 if coils is None else _count(grid, coils)
        points = int(np.count_nonzero(mask))
        self._rest = 0 if most is None else most - points
        if self._rest < 0:
            raise ValueError(f"most is {most}, expected at least {points}, the sampled points")
        self.length = 2 * (points + self._rest)
        self._grid, self._coils, self._threads = grid, coils, threads
        self._footprint = Footprint(np.zeros(self.groups, np.int64), self.length)
        self._plan(mask)

    def footprint(self, i: int) -> Footprint:
        """All of k-space that is sampled."""
        return self._footprint

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> NDArray[np.float32]:
        """M F s_c U_i x_i for some coils (all), float32 [coils, length]."""
        rows, cols = self._places(i)
        s = self._sensitivity(i, groups)
        narrow = np.zeros((len(s), rows.size, self._shape[1]), np.complex64)
        narrow[:, :, cols] = s * self._turn(x_i)
        lines = self._fft(narrow, 2)[:, :, self._lines]
        wide = np.zeros((len(s), self._shape[0], self._lines.size), np.complex64)
        wide[:, rows] = lines
        k = self._fft(wide, 1).reshape(len(s), -1).take(self._points, axis=1)
        if self._rest:
            k = np.pad(k, ((0, 0), (0, self._rest)))
        return k.view(np.float32)

    def adjoint(self, i: int, r: NDArray[np.float32], groups: Rows | None) -> Image:
        """The sum over some coils (all) of U_i^T conj(s_c) F^-1 M^T r_c, [h, w]."""
        rows, cols = self._places(i)
        s = self._sensitivity(i, groups)
        wide = np.zeros((len(s), self._shape[0] * self._lines.size), np.complex64)
        wide[:, self._points] = np.ascontiguousarray(r).view(np.complex64)[:, : self._points.size]
        lines = self._ifft(wide.reshape(len(s), self._shape[0], -1), 1)[:, rows]
        narrow = np.zeros((len(s), rows.size, self._shape[1]), np.complex64)
        narrow[:, :, self._lines] = lines
        image = self._ifft(narrow, 2)[:, :, cols]
        return np.ascontiguousarray(self._turn((s.conj() * image).sum(axis=0)))

    def squares(self, i: int) -> NDArray[np.float32]:
        """The sum over the coils of |s_c|^2 on block i, [h, w]."""
        if self._coils is None:
            return np.ones(region_shape(self._grid.block(i)), np.float32)
        s = self._coils[i]
        return np.asarray(np.sum(s.real**2 + s.imag**2, axis=0), np.float32)

    def _plan(self, mask: NDArray[np.bool_]) -> None:
        """Which axis comes first, and where the samples lie.

        The first transform runs along the lines of the block alone, the second along the lines of
        k-space that hold a sample. Where whole lines are left out, the axis across them comes
        first; image and k-space are turned where that is the vertical one. No array is shifted: the
        places in image and k-space say where the shifts would have taken their values.
        """
        height, width = mask.shape
        samples = mask.nonzero()
        self._turned = np.unique(samples[0]).size * width < np.unique(samples[1]).size * height
        p, q = samples[::-1] if self._turned else samples
        self._shape = (width, height) if self._turned else (height, width)
        lines = np.unique(q)
        self._lines = _unshifted(lines, self._shape[1])
        self._points = _unshifted(p, self._shape[0]) * lines.size + np.searchsorted(lines, q)

    def _places(self, i: int) -> tuple[Rows, Rows]:
        """Where the rows and columns of block i, turned, lie in the input of the transforms."""
        p, q = self._grid.block(i)[::-1] if self._turned else self._grid.block(i)
        height, width = self._shape
        return (
            _unshifted(np.arange(p.start, p.stop), height),
            _unshifted(np.arange(q.start, q.stop), width),
        )

    def _sensitivity(self, i: int, groups: Rows | None) -> Complex:
        if self._coils is None:
            return np.ones((1, 1, 1), np.complex64)
        s = self._coils[i]
        return self._turn(s if groups is None else s[groups])

    def _turn(self, image: Complex) -> Complex:
        return image.swapaxes(-1, -2) if self._turned else image

    def _fft(self, values: Complex, axis: int) -> Complex:
        out: Complex = scipy.fft.fft(
            values, axis=axis, norm="ortho", overwrite_x=True, workers=self._threads
        )
        return out

    def _ifft(self, values: Complex, axis: int) -> Complex:
        out: Complex = scipy.fft.ifft(
            values, axis=axis, norm="ortho", overwrite_x=True, workers=self._threads
        )
        return out


def zero_filled(z: Complex, squares: NDArray[np.float32], most: float) -> Complex:
    """A^T y [h, w] in the unit of x: over the squares of the sensitivities, ``most`` at most.

    Where they are a small part of that, by WEAK instead.
    """
    least = np.float32(WEAK * most) if most > 0 else np.float32(1)
    return np.asarray(z / np.maximum(squares, least), np.complex64)


def _count(grid: BlockGrid, coils: Mapping[int, Complex]) -> int:
    """C, the same for all blocks. Raises ValueError."""
    count = max((len(s) for s in coils.values()), default=0)
    for i, s in coils.items():
        h, w = region_shape(grid.block(i))
        if s.shape != (count, h, w) or s.dtype != np.complex64 or s.size == 0:
            raise ValueError(
                f"coils on block {i} are {s.dtype} {list(s.shape)}, expected complex64 "
                f"[C, {h}, {w}], C >= 1 and the same for all blocks"
            )
    return count


def _unshifted(index: Rows, n: int) -> Rows:
    """Where ifftshift puts an index of n; also where fftshift takes it from."""
    return (index - n // 2) % n
