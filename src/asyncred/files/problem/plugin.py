"""Kinds of problems that other installed packages bring: the user's own forward model.

/operator        attrs kind = NAME, and what the model reads
/measurements/y  float32 [groups, length], or [T, groups, length]

NAME is an entry point of the group ``asyncred.operators``. It stands for a class
``Model(operator: h5py.Group, grid: BlockGrid, blocks: list[int])`` that answers ``ForwardModel``
for these blocks and reads what it needs while the file is open.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.filters import check_group
from asyncred.files.problem.fields import finite, node, string
from asyncred.files.problem.head import Asked, read_stack
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.plausible import Shades, of_values, said
from asyncred.files.whole import open_hdf5
from asyncred.grid import BlockGrid
from asyncred.operators import ForwardModel
from asyncred.operators.contract import check_answers

GROUP = "asyncred.operators"

VALUES = 1 << 20
"""Of y, read at once where all of it is checked."""


@dataclass(frozen=True)
class PluginData(CoupledData):
    """y by group, and the name of the class that reads A."""

    name: str
    """Of the entry point: the kind."""
    place: str
    """What the entry point stands for, "module:Class"."""
    measured: tuple[int, int]
    """groups and length."""

    counted = "y and x (besides the operator's own)"

    @property
    def groups(self) -> int:
        """How many groups minibatches are drawn of."""
        return self.measured[0]

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.measured[0]} groups of {self.measured[1]} measurements, {self.place}"

    def bytes_of(self, blocks: int) -> int:
        """Memory of x, y and the residual; of A only its class knows."""
        n, m = math.prod(self.grid.block_shape), math.prod(self.measured)
        share = blocks / len(self.grid)
        copies = 2 * share + 4 if self.weights is None else 3 * share + 5
        return round(np.dtype(self.dtype).itemsize * blocks * n + 4 * copies * m)

    def check(self) -> None:
        """Read all of y. Raises ValueError."""
        step = max(1, VALUES // self.measured[1])
        for first in range(0, self.groups, step):
            self.y(range(first, min(first + step, self.groups)))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About the measurements of some groups; what A should be only its class knows."""
        step = max(1, self.groups // max(1, VALUES // self.measured[1]))
        with open_hdf5(self.path) as file:
            where = (*self.stack.leading, slice(None, None, step))
            return said(of_values(np.asarray(file["measurements/y"][where]), "/measurements/y"))

    def model(self, blocks: list[int], *, threads: int) -> ForwardModel:
        """A, as its class makes it. Raises ValueError where it is not what it should be."""
        with open_hdf5(self.path) as file:
            return make_model(self.path, file, self.name, self.place, self.grid, blocks)

    def y(self, groups: range) -> NDArray[np.float32]:
        """Measurements of some groups, float32 [groups, length]. Raises ValueError."""
        some = slice(groups.start, groups.stop)
        with open_hdf5(self.path) as file:
            y = np.asarray(file["measurements/y"][(*self.stack.leading, some)], np.float32)
        y = self.known(y, (some, slice(0, self.measured[1])))
        finite(self.path, f"/measurements/y: groups {groups.start} to {groups.stop - 1}", y)
        return y


@dataclass(frozen=True)
class ComplexPluginData(PluginData):
    """The same of a complex image."""

    dtype = np.complex64


def installed() -> list[str]:
    """The kinds that installed packages bring."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def read_plugin(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked) -> PluginData:
    """Find the class of the kind and compare it with /measurements/y. Raises ValueError."""
    name = str(string(file["operator"], "kind"))
    places = sorted({point.value for point in entry_points(group=GROUP, name=name)})
    if len(places) > 1:
        raise ValueError(
            f"{path}: /operator kind is {name!r}, which {' and '.join(places)} both claim: "
            "expected one installed package with it"
        )
    model = make_model(path, file, name, places[0], grid, [])
    y = node(path, file, "measurements/y", h5py.Dataset)
    measured = (int(model.groups), int(model.length))
    if y.ndim not in (2, 3) or y.shape[-2:] != measured or y.dtype.kind != "f":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 "
            f"{list(measured)} (groups and length of {places[0]}), or this with a leading axis "
            "of images"
        )
    kind = ComplexPluginData if model.dtype == np.complex64 else PluginData
    return kind(path, grid, read_stack(path, y, 2, asked), name, places[0], measured)


def make_model(
    path: Path, file: h5py.File, name: str, place: str, grid: BlockGrid, blocks: list[int]
) -> ForwardModel:
    """The model of some blocks, its answers checked. Raises ValueError naming the entry point."""
    check_group(file["operator"])
    try:
        make = _load(name, place)
        return check_answers(make(file["operator"], grid, blocks), grid, blocks)
    except (ValueError, KeyError, OSError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: operator {name!r} ({place}): {reason}") from error


def _load(name: str, place: str) -> Callable[..., object]:
    """What an entry point stands for. Raises ValueError unless it can be called as it should."""
    try:
        make: Callable[..., object] = EntryPoint(name, place, GROUP).load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be loaded: {error}") from error
    try:
        inspect.signature(make).bind("operator", "grid", "blocks")
    except TypeError as error:
        raise ValueError(f"cannot be called as Model(operator, grid, blocks): {error}") from error
    return make
