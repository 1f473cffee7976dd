"""A problem file, opened: its head, checked, and what reads its measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import h5py

from asyncred.files import open_hdf5
from asyncred.grid import BlockGrid, Region
from asyncred.operators import Image
from asyncred.problem.block_random import BlockRandomData, read_block_random
from asyncred.problem.fields import node, string
from asyncred.problem.head import has_truth, read_grid
from asyncred.problem.parallel_beam import ParallelBeamData, read_parallel_beam

Data = BlockRandomData | ParallelBeamData

READERS: Mapping[str, Callable[[Path, h5py.File, BlockGrid, int | None], Data]] = {
    "block_random": read_block_random,
    "parallel_beam": read_parallel_beam,
}


@dataclass(frozen=True)
class Problem:
    """The head of a problem file, checked; the arrays are read by block."""

    path: Path
    grid: BlockGrid
    kind: str
    data: Data
    """A and y."""
    has_truth: bool

    @property
    def images(self) -> int | None:
        """T; None where y has no leading axis."""
        return self.data.stack.images

    def truth(self, region: Region) -> Image:
        """The truth on a region, float32."""
        with open_hdf5(self.path) as file:
            data = file["truth"]
            where = (self.data.stack.index, *region) if data.ndim == 3 else region
            return np.asarray(data[where], np.float32)


def read_problem(path: Path, *, index: int | None = None) -> Problem:
    """Read and check the head of a problem file.

    Raises ValueError, naming file, key, what was found and what was expected.
    """
    with open_hdf5(path) as file:
        grid = read_grid(path, file)
        kind = string(node(path, file, "operator", h5py.Group), "kind")
        if kind is None or kind not in READERS:
            raise ValueError(f"{path}: /operator kind is {kind!r}, expected {' or '.join(READERS)}")
        data = READERS[kind](path, file, grid, index)
        known = has_truth(path, file, grid.shape, data.stack.images)
        return Problem(path, grid, kind, data, known)
