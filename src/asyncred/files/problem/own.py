"""A forward model that a script brings, with measurements in a file that is in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.problem.fields import node
from asyncred.files.problem.head import Asked, read_stack
from asyncred.files.problem.plugin import PluginData
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel
from asyncred.operators.contract import check_answers

Make = Callable[[BlockGrid, list[int]], ForwardModel]


@dataclass(frozen=True)
class OwnData(PluginData):
    """y by group, and what makes A."""

    make: Make

    def model(self, blocks: list[int], *, threads: int) -> ForwardModel:
        """A, as the script makes it. Raises ValueError where it is not what it should be."""
        return check_answers(self.make(self.grid, blocks), self.grid, blocks)


@dataclass(frozen=True)
class ComplexOwnData(OwnData):
    """The same of a complex image."""

    dtype = np.complex64


def own_data(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked, make: Make) -> OwnData:
    """Compare the model with /measurements/y. Raises ValueError."""
    model = check_answers(make(grid, []), grid, [])
    y = node(path, file, "measurements/y", h5py.Dataset)
    measured = (int(model.groups), int(model.length))
    if y.ndim not in (2, 3) or y.shape[-2:] != measured:
        raise ValueError(
            f"{path}: y is {y.dtype} {list(y.shape)}, expected float32 {list(measured)} (groups "
            "and length of the forward model), or this with a leading axis of images"
        )
    kind = ComplexOwnData if model.dtype == np.complex64 else OwnData
    place = type(model).__name__
    return kind(path, grid, read_stack(path, y, 2, asked), "own", place, measured, make)
