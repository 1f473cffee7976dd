"""Problems given as arrays: a constructor for each kind, and for a forward model of one's own.

    problem = asyncred.parallel_beam(angles, shape=(256, 256), center=127.5)
    problem.file(y)     # what a problem file of this kind would hold, in memory

The arrays are checked, and read, by the code that reads problem files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import h5py

from asyncred.files.memory import MemoryFile
from asyncred.files.problem.fan_geometry import FanGeometry
from asyncred.files.problem.head import FORMAT, VERSION, Asked, has_truth, read_grid, read_range
from asyncred.files.problem.own import own_data
from asyncred.files.problem.reader import Problem, read_problem, weighed
from asyncred.files.whole import open_hdf5
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel

Make = Callable[[BlockGrid, list[int]], ForwardModel]
"""Of a forward model: A for some blocks of a grid."""

NAME = "arrays"
"""What messages call a problem that is no file."""


@dataclass(frozen=True)
class ArrayProblem:
    """The forward model of a problem, with what a problem file says of it; y comes later."""

    kind: str
    shape: tuple[int, int]
    """Of the image, in pixels."""
    datasets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Below /operator."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Of /operator."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Of datasets."""
    block: tuple[int, int] | None = None
    """Height and width of a block, where A dictates it."""
    make: Make | None = None
    """Makes A, where it is no built-in kind."""

    def file(
        self,
        y: ArrayLike,
        *,
        truth: ArrayLike | None = None,
        range: tuple[float, float] | None = None,
        weights: ArrayLike | None = None,
    ) -> MemoryFile:
        """A problem file in memory.

        ``y`` is what was measured, of the shape that the kind says, or with a leading axis of
        images; ``truth`` [H, W] or [T, H, W]; ``range`` the image's values for black and white;
        ``weights`` of y, of its shape or one that broadcasts to it, 0 for what was not measured.
        """

        def write(file: h5py.File) -> None:
            file.attrs.update({"format": FORMAT, "version": VERSION})
            image = file.create_group("image")
            image.attrs["shape"] = self.shape
            if self.block is not None:
                image.attrs["block"] = self.block
            if range is not None:
                image.attrs["range"] = range
            operator = file.create_group("operator")
            operator.attrs.update({"kind": self.kind, **self.attributes})
            for name, values in self.datasets.items():
                operator[name] = values
            for name, unit in self.units.items():
                operator[name].attrs["units"] = unit
            file["measurements/y"] = _single(y)
            if weights is not None:
                file["measurements/weights"] = np.asarray(weights)
            if truth is not None:
                file["truth"] = _single(truth)

        return MemoryFile.written(NAME, write)

    def read(self, path: Path, asked: Asked) -> Problem:
        """The problem of a file that ``file`` made. Raises ValueError where something is wrong."""
        if self.make is None:
            return read_problem(path, asked)
        with open_hdf5(path) as file:
            data = own_data(path, file, read_grid(path, file, asked), asked, self.make)
            data = weighed(path, file, self.kind, data, asked)
            known = has_truth(path, file, data.grid.shape, data.stack.images, data.dtype)
            shades, stated = read_range(path, file), "range" in file["image"].attrs
            return Problem(path, self.kind, data, shades, known, stated)


def parallel_beam(
    angles: ArrayLike,
    *,
    shape: tuple[int, int],
    center: float | None = None,
    units: str = "deg",
    spacing: float = 1.0,
    pixel: float = 1.0,
) -> ArrayProblem:
    """Tomography in parallel beams; y float32 [views, bins], line integrals.

    ``angles`` [views] in ``units``, deg or rad; ``shape`` of the image, in pixels; ``center`` the
    bin, from 0, that sees the rotation axis (the middle); ``spacing`` of the bins in pixels;
    ``pixel`` the side of a pixel in the unit of length of the attenuation.
    """
    attributes = {"spacing": spacing, "pixel": pixel}
    if center is not None:
        attributes["center"] = center
    datasets = {"angles": np.asarray(angles, np.float64)}
    return ArrayProblem("parallel_beam", shape, datasets, attributes, {"angles": units})


def fan_beam(
    angles: ArrayLike, geometry: FanGeometry, *, shape: tuple[int, int], units: str = "deg"
) -> ArrayProblem:
    """Tomography with a point source; y float32 [views, bins], line integrals.

    ``angles`` [views] in ``units``, deg or rad, of any part of a turn; ``shape`` of the image, in
    pixels; ``geometry`` says where source, rotation axis and detector are.
    """
    datasets = {"angles": np.asarray(angles, np.float64)}
    return ArrayProblem("fan_beam", shape, datasets, geometry.attributes, {"angles": units})


def cartesian_mri(mask: ArrayLike, *, coils: ArrayLike | None = None) -> ArrayProblem:
    """Multi-coil Cartesian MRI; y complex64 [C, ky, kx], zero frequency at [ky // 2, kx // 2].

    ``mask`` [ky, kx]: the sampled points; ``coils`` complex64 [C, H, W]: the sensitivities (one
    coil of ones). The image is complex.
    """
    sampled = np.asarray(mask) != 0
    datasets: dict[str, NDArray[Any]] = {"mask": sampled}
    if coils is not None:
        datasets["coils"] = np.asarray(coils, np.complex64)
    return ArrayProblem("cartesian_mri", _pair(sampled), datasets)


def convolution(kernel: ArrayLike, *, shape: tuple[int, int]) -> ArrayProblem:
    """Deblurring; y float32 [H, W] is the image of this shape convolved with ``kernel`` [kh, kw].

    The sides of the kernel are odd; outside of the image is 0.
    """
    return ArrayProblem("convolution", shape, {"kernel": np.asarray(kernel, np.float32)})


def superresolution(kernel: ArrayLike, factor: int, *, shape: tuple[int, int]) -> ArrayProblem:
    """Superresolution; y float32 [ceil(H / factor), ceil(W / factor)]: blurred, then subsampled.

    ``kernel`` [kh, kw] of odd sides blurs the image of ``shape``; every ``factor``-th pixel is
    measured.
    """
    datasets = {"kernel": np.asarray(kernel, np.float32)}
    return ArrayProblem("superresolution", shape, datasets, {"factor": factor})


def inpainting(mask: ArrayLike) -> ArrayProblem:
    """Inpainting; y float32 [H, W] holds the image where ``mask`` [H, W] is true."""
    measured = np.asarray(mask) != 0
    return ArrayProblem("mask", _pair(measured), {"mask": measured})


def sparse_matrix(matrix: Any, *, shape: tuple[int, int]) -> ArrayProblem:
    """Any linear model; y float32 [rows] = A x, ``matrix`` a SciPy sparse A [rows, H W].

    Pixels of the image of ``shape`` are in row-major order.
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
    """Block-diagonal compressive sensing; y float32 [b, m]: A_i times block i, for each block.

    ``A`` float32 [b, m, bh bw], pixels of a block in row-major order; ``block`` is [bh, bw].
    """
    return ArrayProblem("block_random", shape, {"A": np.asarray(A, np.float32)}, block=block)


def forward_model(make: Make, *, shape: tuple[int, int]) -> ArrayProblem:
    """A model of one's own; y float32 [groups, length].

    ``make(grid, blocks)`` returns an object that answers ``ForwardModel`` for some blocks of the
    image of ``shape``; docs/operators.md says how.
    """
    return ArrayProblem("own", shape, make=make)


def _single(values: ArrayLike) -> NDArray[Any]:
    """In single precision."""
    found = np.asarray(values)
    return np.asarray(found, np.complex64 if found.dtype.kind == "c" else np.float32)


def _pair(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The sides of a mask. Raises ValueError where these are not two."""
    if mask.ndim != 2:
        raise ValueError(f"mask is {list(mask.shape)}, expected [H, W]")
    return mask.shape[0], mask.shape[1]
