"""Deblurring: y = k * x, convolution with a known kernel, x being 0 outside of the image.

    (k * x)[p] = sum over q of k[q] x[p + (kh // 2, kw // 2) - q],    y of the size of x

Block i of A^T (A x - y) takes k * x as far as the kernel's radius around the block, hence x as far
as twice the radius. With x and y cut off at the border of the image, where A reads zeros and has no
measurements, it is the block of the whole image's gradient to rounding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, Region, Window, region_shape, within
from asyncred.operators.local import LocalModel
from asyncred.operators.protocols import Image, Rows

if TYPE_CHECKING:
    from typing_extensions import Self

Array = NDArray[np.float32]


def gaussian_kernel(sigma: float, radius: int) -> Array:
    """A Gaussian of ``sigma`` pixels, float32 [2 radius + 1, 2 radius + 1], of sum 1.

    Raises ValueError unless sigma > 0 and radius >= 0.
    """
    if not (sigma > 0 and radius >= 0):
        raise ValueError(f"sigma, radius are {sigma}, {radius}, expected > 0, >= 0")
    side = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(side, side)
    return np.asarray(kernel / kernel.sum(), np.float32)


def blur(x: Image, kernel: Array) -> Image:
    """k * x, of the shape of x, float32."""
    return Blur(kernel, x.shape).forward(x)


class Blur:
    """k * x and its adjoint on images of one shape, 0 outside, by FFT.

    The transform of k is kept: for kernels of 9 to 31 pixels a side this took 0.6 of the time of
    scipy.signal.fftconvolve, and less still of oaconvolve's and scipy.ndimage.convolve's. Rounding
    errors are some 1e-7 of the largest value.
    """

    def __init__(self, kernel: Array, shape: tuple[int, ...]) -> None:
        self._inside = tuple(slice(n) for n in shape)
        # Room for the radius once: what runs over one end of the image and what runs over the
        # other may share it. A kernel larger than image and radius must still fit.
        self._padded = tuple(
            scipy.fft.next_fast_len(max(n + k // 2, k), real=True)
            for n, k in zip(shape, kernel.shape, strict=True)
        )
        centred = np.zeros(self._padded, np.float32)
        centred[tuple(slice(k) for k in kernel.shape)] = kernel
        centred = np.roll(centred, [-(k // 2) for k in kernel.shape], axis=(0, 1))
        self._spectrum = scipy.fft.rfft2(centred)

    def forward(self, x: Array) -> Array:
        """K x."""
        return self._filter(x, self._spectrum)

    def adjoint(self, r: Array) -> Array:
        """K^T r."""
        return self._filter(r, self._spectrum.conj())

    def _filter(self, x: Array, spectrum: NDArray[np.complex64]) -> Array:
        product = scipy.fft.rfft2(x, self._padded) * spectrum
        out: Array = scipy.fft.irfft2(product, self._padded, overwrite_x=True)
        return out[self._inside]


def measured_region(grid: BlockGrid, i: int, radius: int, factor: int) -> Region:
    """Which part of y block i has a part in: that on ``grid.window(i, radius)``.

    In rows and columns of y, which holds every ``factor``-th pixel from pixel 0 on.
    """
    rows, cols = (
        slice(-(-side.start // factor), -(-side.stop // factor))
        for side in grid.window(i, radius).region
    )
    return rows, cols


class Blurred(LocalModel):
    """The data term of y = (k * x)[::factor, ::factor], for the blocks of one rank.

    ``kernel`` float32 [kh, kw], odd sides; its ``radius`` is half the larger. ``y`` maps a block's
    number i to y on ``measured_region(grid, i, radius, factor)``, float32. ``halo`` is twice the
    radius.

    ``weights`` maps it to w there, float32, where they are not all 1: then the data term is
    1/2 ||A x - y||_W^2, and what has the weight 0 counts as not measured.

    The measurements a minibatch of block i is drawn from are the m of that region, in row-major
    order: all that the block's gradient depends on. Regions of neighbours overlap, so a measurement
    may be drawn for several blocks; for each of them w measurements of weight m/w have the block's
    gradient as their mean. Raises ValueError.
    """

    def __init__(
        self,
        grid: BlockGrid,
        kernel: Array,
        factor: int,
        y: Mapping[int, Array],
        weights: Mapping[int, Array] | None = None,
    ) -> None:
        if kernel.ndim != 2 or kernel.dtype != np.float32 or any(k % 2 == 0 for k in kernel.shape):
            raise ValueError(
                f"kernel is {kernel.dtype} {list(kernel.shape)}, "
                "expected float32 [kh, kw] of odd sides"
            )
        self.radius = max(kernel.shape) // 2
        self.halo = 2 * self.radius
        self._grid, self._kernel, self._factor = grid, kernel, factor
        self._y = self._checked(y)
        self._weights = None if weights is None else self._checked(weights)
        self._blurs: dict[tuple[int, int], Blur] = {}
        self._misfits: dict[int, float] = {}
        self._norm_squared = largest_gain(kernel, factor)

    def of(self, y: Mapping[int, Array]) -> Self:
        """The same A with other measurements."""
        other = copy.copy(self)
        other._y, other._misfits = self._checked(y), {}
        return other

    def gradient(self, i: int, x_tilde: Image, rows: Rows | None) -> Image:
        """U_i^T A^T W (A x - y), or (m/w) U_i^T A_S^T W (A_S x - y_S) for a subset S of w pixels.

        ``x_tilde`` is x on ``grid.window(i, halo)``, float32. The result is float32 [h, w].
        """
        measured = self._data_window(i)
        lattice = self._lattice(measured.region)
        seen = self._grid.window(i, self.halo)
        Ax = self._blur(seen.shape).forward(x_tilde)[within(measured.region, seen.region)]
        misfit = Ax[lattice] - self._y[i]
        weighted = misfit if self._weights is None else self._weights[i] * misfit
        r = np.zeros(measured.shape, np.float32)
        r[lattice] = weighted if rows is None else _subset(weighted, rows)
        if rows is None:
            self._misfits[i] = self._own_product(i, misfit, r[measured.inner])
        return self._blur(measured.shape).adjoint(r)[measured.inner]

    def misfit(self, i: int) -> float:
        """||A x - y||_W^2 over the measurements in block i, as of its last gradient."""
        return self._misfits.get(i, math.nan)

    def energy(self, i: int) -> float:
        """||y||_W^2 over them."""
        measured, y_i = self._data_window(i), self._y[i]
        y = np.zeros(measured.shape, np.float32)
        weighted = y_i if self._weights is None else self._weights[i] * y_i
        y[self._lattice(measured.region)] = weighted
        return self._own_product(i, y_i, y[measured.inner])

    def normal(self, i: int, v: Image) -> Image:
        """U_i^T A^T W A U_i v, float32 [h, w]."""
        measured = self._data_window(i)
        x = np.zeros(measured.shape, np.float32)
        x[measured.inner] = v
        blur, lattice = self._blur(measured.shape), self._lattice(measured.region)
        Ax, r = blur.forward(x), np.zeros(measured.shape, np.float32)
        r[lattice] = Ax[lattice] if self._weights is None else self._weights[i] * Ax[lattice]
        return blur.adjoint(r)[measured.inner]

    def measurements(self, i: int) -> int:
        """m, the number of measurements that block i has a part in."""
        return self._y[i].size

    def adjoint(self, i: int) -> Image:
        """U_i^T A^T W y, float32 [h, w]: minus the gradient at zero."""
        return -self.gradient(i, np.zeros(self._grid.window(i, self.halo).shape, np.float32), None)

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """A bound of ||A||^2 times the largest weight, times m/w for a minibatch of w."""
        m = self.measurements(i)
        share = 1.0 if minibatch is None else max(1.0, m / minibatch)
        largest = 1.0 if self._weights is None else float(self._weights[i].max())
        return self._norm_squared * share * largest

    def _known(self, i: int) -> Array:
        """y as far as block i has it, what has the weight 0 filled from the nearest that has more.

        0 where nothing has.
        """
        y = self._y[i]
        if self._weights is None or not (hidden := self._weights[i] <= 0).any():
            return y
        if hidden.all():
            return np.zeros_like(y)
        nearest = scipy.ndimage.distance_transform_edt(
            hidden, return_distances=False, return_indices=True
        )
        filled: Array = y[tuple(nearest)]
        return filled

    def _own_product(self, i: int, r: Array, weighted: Array) -> float:
        """<r, W r> over the measurements that lie in block i, which count as its own.

        ``r`` on the lattice of the window, ``weighted`` W r on the pixels of the block, 0 between.
        """
        if self._weights is None:
            return _square(weighted)
        measured = self._data_window(i)
        plain = np.zeros(measured.shape, np.float32)
        plain[self._lattice(measured.region)] = r
        return float(np.vdot(plain[measured.inner].ravel(), weighted.ravel()))

    def _checked(self, y: Mapping[int, Array]) -> Mapping[int, Array]:
        for i, y_i in y.items():
            expected = region_shape(measured_region(self._grid, i, self.radius, self._factor))
            if y_i.shape != expected:
                raise ValueError(f"block {i}: y is {list(y_i.shape)}, expected {list(expected)}")
        return y

    def _lattice(self, region: Region) -> Region:
        """The pixels of a region whose row and column in the image are multiples of factor."""
        rows, cols = (slice(-part.start % self._factor, None, self._factor) for part in region)
        return rows, cols

    def _data_window(self, i: int) -> Window:
        return self._grid.window(i, self.radius)

    def _blur(self, shape: tuple[int, int]) -> Blur:
        if shape not in self._blurs:
            self._blurs[shape] = Blur(self._kernel, shape)
        return self._blurs[shape]


class Convolution(Blurred):
    """The data term of the blocks of one rank; arguments and minibatches as for ``Blurred``."""

    def __init__(
        self,
        grid: BlockGrid,
        kernel: Array,
        y: Mapping[int, Array],
        weights: Mapping[int, Array] | None = None,
    ) -> None:
        super().__init__(grid, kernel, 1, y, weights)

    def measured(self, i: int) -> Image:
        """Block i of y as it is, what was not measured filled from near by, float32 [h, w]."""
        return self._known(i)[self._data_window(i).inner]


def largest_gain(kernel: Array, factor: int) -> float:
    """A bound of the squared norm of x -> (k * x)[::factor, ::factor].

    The norm on the infinite grid, which is not below that on an image: the largest value over all
    frequencies of |k^|^2, its aliases under the decimation averaged. This is a trigonometric
    polynomial of degree d < k a side; between N frequencies it may exceed its largest value there
    by 1 / cos(pi d / N) (Ehlich, Zeller 1964).
    """
    padded = [
        factor * scipy.fft.next_fast_len(-(-oversampling(k) * k // factor)) for k in kernel.shape
    ]
    between = math.prod(
        math.cos(math.pi * (k - 1) / n) for k, n in zip(kernel.shape, padded, strict=True)
    )
    gain = np.abs(scipy.fft.fft2(kernel, padded)) ** 2
    aliases = gain.reshape(factor, padded[0] // factor, factor, padded[1] // factor)
    return float(aliases.sum(axis=(0, 2)).max()) / factor**2 / between


def oversampling(k: int) -> int:
    """Frequencies per pixel of a side of k: the fewer, the larger a kernel, for its memory."""
    return max(8, min(32, 1024 // k))


def _subset(r: Array, rows: Rows) -> Array:
    """(m/w) r on some pixels, 0 elsewhere."""
    out = np.zeros_like(r)
    out.reshape(-1)[rows] = r.reshape(-1)[rows] * np.float32(r.size / rows.size)
    return out


def _square(r: Array) -> float:
    flat = r.ravel()
    return float(np.vdot(flat, flat))
