"""A problem given as arrays: its forward model, and the problem file in memory that it makes.

    problem = asyncred.parallel_beam(angles, shape=(256, 256), center=127.5)
    problem.file(y)     # the problem file of this kind, in memory

The code that reads problem files checks and reads the arrays, too.
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
    """The forward model A of a problem, as the functions above make it; y comes later."""

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


def _single(values: ArrayLike) -> NDArray[Any]:
    """In single precision."""
    found = np.asarray(values)
    return np.asarray(found, np.complex64 if found.dtype.kind == "c" else np.float32)
