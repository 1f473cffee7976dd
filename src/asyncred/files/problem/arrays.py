"""Forward models from arrays: a function for each kind, and one for a model of your own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asyncred.files.problem.array_problem import ArrayProblem, Make
from asyncred.files.problem.fan_geometry import FanGeometry


def parallel_beam(
    angles: ArrayLike,
    *,
    shape: tuple[int, int],
    center: float | None = None,
    units: str = "deg",
    spacing: float = 1.0,
    pixel: float = 1.0,
) -> ArrayProblem:
    """Tomography in parallel beams: y = sums of the image along parallel rays.

    y is float32 [views, bins], line integrals of the attenuation, -log(counts / beam).

    >>> import asyncred, numpy as np
    >>> A = asyncred.parallel_beam(np.arange(0, 180, 6), shape=(32, 32), center=15.5)
    >>> y = np.ones((30, 32))
    >>> asyncred.solve(y, A, "tv", sigma=5, epochs=2).image.shape
    (32, 32)

    Args:
        angles: Angle of each view, [views].
        shape: Height and width of the image, in pixels.
        center: The bin, counted from 0, that sees the rotation axis. Default: the middle.
        units: Unit of the angles, ``"deg"`` or ``"rad"``.
        spacing: Distance of two bins, in pixels.
        pixel: Side of a pixel, in the unit of length of the attenuation.

    References:
        The projector follows P. Joseph, IEEE Trans. Med. Imaging 1(3), 1982.
    """
    attributes = {"spacing": spacing, "pixel": pixel}
    if center is not None:
        attributes["center"] = center
    datasets = {"angles": np.asarray(angles, np.float64)}
    return ArrayProblem("parallel_beam", shape, datasets, attributes, {"angles": units})


def fan_beam(
    angles: ArrayLike, geometry: FanGeometry, *, shape: tuple[int, int], units: str = "deg"
) -> ArrayProblem:
    """Tomography with a point source, as in a laboratory: y = sums along diverging rays.

    y is float32 [views, bins], line integrals of the attenuation, -log(counts / beam).

    >>> import asyncred, numpy as np
    >>> geometry = asyncred.FanGeometry(source_axis=100, axis_detector=50, spacing=1.5)
    >>> A = asyncred.fan_beam(np.arange(0, 360, 6), geometry, shape=(32, 32))
    >>> y = np.ones((60, 48))
    >>> asyncred.solve(y, A, "tv", sigma=5, epochs=2).image.shape
    (32, 32)

    Args:
        angles: Angle of each view, [views], over a whole turn or any part of it.
        geometry: Where source, rotation axis and detector are.
        shape: Height and width of the image, in pixels.
        units: Unit of the angles, ``"deg"`` or ``"rad"``.
    """
    datasets = {"angles": np.asarray(angles, np.float64)}
    return ArrayProblem("fan_beam", shape, datasets, geometry.attributes, {"angles": units})


def cartesian_mri(mask: ArrayLike, *, coils: ArrayLike | None = None) -> ArrayProblem:
    """Multi-coil Cartesian MRI: y = samples of the Fourier transforms of what each coil sees.

    y is complex64 [coils, ky, kx], with the zero frequency at [ky // 2, kx // 2]; what is outside
    of the mask is ignored. The image is complex.

    >>> import asyncred, numpy as np
    >>> mask = np.ones((32, 32), bool)
    >>> mask[:, 1:12:2] = False
    >>> A = asyncred.cartesian_mri(mask)
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal((1, 32, 32)) + 1j * rng.standard_normal((1, 32, 32))
    >>> asyncred.solve(y, A, "tv", sigma=5, epochs=2).image.dtype
    dtype('complex64')

    Args:
        mask: Which points of k-space were sampled, [ky, kx].
        coils: The sensitivities of the coils, complex64 [coils, H, W]. Default: one coil that sees
            everything alike.
    """
    sampled = np.asarray(mask) != 0
    datasets: dict[str, NDArray[Any]] = {"mask": sampled}
    if coils is not None:
        datasets["coils"] = np.asarray(coils, np.complex64)
    return ArrayProblem("cartesian_mri", _pair(sampled), datasets)


def convolution(kernel: ArrayLike, *, shape: tuple[int, int]) -> ArrayProblem:
    """Deblurring: y = the image convolved with a known kernel.

    y is float32 [H, W]. The image is taken to be 0 beyond its border.

    >>> import asyncred, numpy as np
    >>> A = asyncred.convolution(np.full((3, 3), 1 / 9), shape=(32, 32))
    >>> asyncred.solve(np.eye(32), A, "tv", sigma=5, epochs=2).image.shape
    (32, 32)

    Args:
        kernel: The kernel [kh, kw], whose sides are odd; its sum should be 1.
        shape: Height and width of the image, in pixels.
    """
    return ArrayProblem("convolution", shape, {"kernel": np.asarray(kernel, np.float32)})


def superresolution(kernel: ArrayLike, factor: int, *, shape: tuple[int, int]) -> ArrayProblem:
    """Superresolution: y = every so many pixels of a blurred image.

    y is float32 [ceil(H / factor), ceil(W / factor)], from pixel 0 on.

    >>> import asyncred, numpy as np
    >>> A = asyncred.superresolution(np.full((3, 3), 1 / 9), 2, shape=(32, 32))
    >>> asyncred.solve(np.eye(16), A, "tv", sigma=5, epochs=2).image.shape
    (32, 32)

    Args:
        kernel: The blur, as of :func:`asyncred.convolution`.
        factor: Pixels a measurement, in both directions.
        shape: Height and width of the image, in pixels.
    """
    datasets = {"kernel": np.asarray(kernel, np.float32)}
    return ArrayProblem("superresolution", shape, datasets, {"factor": factor})


def inpainting(mask: ArrayLike) -> ArrayProblem:
    """Inpainting: y = some pixels of the image.

    y is float32 [H, W]; it may hold anything, NaN too, where nothing was measured.

    >>> import asyncred, numpy as np
    >>> measured = np.random.default_rng(0).random((32, 32)) < 0.5
    >>> A = asyncred.inpainting(measured)
    >>> asyncred.solve(np.where(measured, 0.5, np.nan), A, "tv", sigma=5, epochs=2).image.shape
    (32, 32)

    Args:
        mask: Which pixels were measured, [H, W].
    """
    measured = np.asarray(mask) != 0
    return ArrayProblem("mask", _pair(measured), {"mask": measured})


def sparse_matrix(matrix: Any, *, shape: tuple[int, int]) -> ArrayProblem:
    """Any linear model that fits into a sparse matrix: y = A x.

    y is float32 [rows]; the pixels of x are numbered row by row.

    >>> import asyncred, numpy as np, scipy.sparse
    >>> matrix = scipy.sparse.random(2000, 16 * 16, density=0.05, random_state=0)
    >>> A = asyncred.sparse_matrix(matrix, shape=(16, 16))
    >>> y = matrix @ np.full(16 * 16, 0.5)
    >>> asyncred.solve(y, A, "tv", sigma=5, epochs=2).image.shape
    (16, 16)

    Args:
        matrix: A SciPy sparse matrix or array, [rows, H W].
        shape: Height and width of the image, in pixels.
    """
    A = matrix.tocsr()
    datasets = {
        "data": np.asarray(A.data, np.float32),
        "indices": np.asarray(A.indices),
        "indptr": np.asarray(A.indptr),
    }
    return ArrayProblem("matrix", shape, datasets, {"shape": A.shape})


def compressive_sensing(
    A: ArrayLike, *, shape: tuple[int, int], block: tuple[int, int]
) -> ArrayProblem:
    """Block-diagonal compressive sensing: y_i = A_i x_i for each block of the image.

    y is float32 [blocks, m]; blocks are numbered row by row.

    >>> import asyncred, numpy as np
    >>> A = np.random.default_rng(0).standard_normal((4, 100, 64), np.float32)
    >>> y = A @ np.full(64, 0.5)
    >>> model = asyncred.compressive_sensing(A, shape=(16, 16), block=(8, 8))
    >>> asyncred.solve(y, model, "tv", sigma=5, epochs=2).image.shape
    (16, 16)

    Args:
        A: One matrix a block, float32 [blocks, m, bh bw]; pixels of a block row by row.
        shape: Height and width of the image, in pixels.
        block: Height and width of a block.
    """
    return ArrayProblem("block_random", shape, {"A": np.asarray(A, np.float32)}, block=block)


def forward_model(make: Make, *, shape: tuple[int, int]) -> ArrayProblem:
    """A forward model of your own, given as a class; :doc:`/howto/operator` says what it answers.

    y is float32 [groups, length].

    >>> import asyncred, numpy as np
    >>> from asyncred.operators import FullFootprint
    >>> class Pixels(FullFootprint):  # y = the image, a row of it a group
    ...     groups, length = 16, 16
    ...     def __init__(self, grid, blocks):
    ...         self.at = {i: grid.block(i) for i in blocks}
    ...     def forward(self, i, x_i, groups):
    ...         y = np.zeros((16, 16), np.float32)
    ...         y[self.at[i]] = x_i
    ...         return y if groups is None else y[groups]
    ...     def adjoint(self, i, r, groups):
    ...         y = np.zeros((16, 16), np.float32)
    ...         y[slice(None) if groups is None else groups] = r
    ...         return y[self.at[i]]
    >>> A = asyncred.forward_model(Pixels, shape=(16, 16))
    >>> asyncred.solve(np.full((16, 16), 0.5), A, "tv", sigma=5, epochs=2).image.shape
    (16, 16)

    Args:
        make: Called as ``make(grid, blocks)`` on each rank; returns the model for these blocks.
        shape: Height and width of the image, in pixels.
    """
    return ArrayProblem("own", shape, make=make)


def _pair(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The sides of a mask. Raises ValueError where these are not two."""
    if mask.ndim != 2:
        raise ValueError(f"mask is {list(mask.shape)}, expected [H, W]")
    return mask.shape[0], mask.shape[1]
