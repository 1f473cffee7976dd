"""A given sparse matrix A, cut into runs of rows and, by block, into columns: A_i = A U_i.

For geometries that no other model here knows: whoever can write A down can reconstruct with it.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators.full_footprint import FullFootprint
from asyncred.operators.protocols import Image, Rows


class SparseMatrix(FullFootprint):
    """A ``ForwardModel`` whose groups are runs of ``run`` rows of A that follow each other.

    ``parts`` maps blocks to A_i, float32 [groups run, pixels of the block] in CSR, pixels in
    row-major order. Measurements are float32 [groups, run], y in order; where A has fewer rows,
    A_i ends with rows of zeros. A block touches every run as a whole, whether or not it has entries
    in all its rows. A subset of groups is cut out of A_i anew at each call, at the cost of a copy
    of its entries. Raises ValueError.
    """

    def __init__(
        self,
        grid: BlockGrid,
        parts: Mapping[int, scipy.sparse.csr_matrix],
        *,
        groups: int,
        run: int,
    ) -> None:
        if groups < 1 or run < 1:
            raise ValueError(f"{groups} groups of {run} rows, expected one of each at least")
        self.groups, self.length = groups, run
        self._parts, self._shapes = parts, {i: region_shape(grid.block(i)) for i in parts}
        for i, (h, w) in self._shapes.items():
            A_i, expected = parts[i], (groups * run, h * w)
            if A_i.format != "csr" or A_i.dtype != np.float32 or A_i.shape != expected:
                raise ValueError(
                    f"block {i}: A is {A_i.format} {A_i.dtype} {list(A_i.shape)}, "
                    f"expected csr float32 {list(expected)}"
                )

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> NDArray[np.float32]:
        """A_i x_i in some groups (all), float32 [groups, run]."""
        y: NDArray[np.float32] = self._part(i, groups) @ x_i.reshape(-1)
        return y.reshape(-1, self.length)

    def adjoint(self, i: int, r: NDArray[np.float32], groups: Rows | None) -> Image:
        """A_i^T r from some groups (all), float32 [h, w]."""
        x_i: Image = self._part(i, groups).T @ r.reshape(-1)
        return x_i.reshape(self._shapes[i])

    def _part(self, i: int, groups: Rows | None) -> scipy.sparse.csr_matrix:
        if groups is None:
            return self._parts[i]
        return self._parts[i][(groups[:, None] * self.length + np.arange(self.length)).ravel()]


class Columns:
    """A_i of some blocks, as it grows from rows of A that come in their order.

    Holds the entries of the blocks once, never a second time.
    """

    def __init__(self, grid: BlockGrid, blocks: list[int]) -> None:
        self._grid = grid
        self._values = {i: array("f") for i in blocks}
        self._places = {i: array("i") for i in blocks}
        self._counts: dict[int, list[NDArray[np.int32]]] = {i: [] for i in blocks}

    def add(self, rows: scipy.sparse.csr_matrix) -> None:
        """The next rows of A, float32 [any number, H W]."""
        for i, part in cut(self._grid, list(self._counts), rows).items():
            self._values[i].frombytes(part.data.view(np.uint8))
            self._places[i].frombytes(part.indices.view(np.uint8))
            self._counts[i].append(np.diff(part.indptr).astype(np.int32))

    def parts(self, rows: int) -> dict[int, scipy.sparse.csr_matrix]:
        """A_i by block, filled up with rows of zeros to so many rows; nothing is left here."""
        return {i: self._take(i, rows) for i in list(self._counts)}

    def _take(self, i: int, rows: int) -> scipy.sparse.csr_matrix:
        counts = np.concatenate([np.zeros(1, np.int32), *self._counts.pop(i)])
        ends = np.full(rows + 1, counts.sum(dtype=np.int64))
        np.cumsum(counts, out=ends[: counts.size])
        values = np.frombuffer(self._values.pop(i), np.float32)
        places = np.frombuffer(self._places.pop(i), np.int32)
        h, w = region_shape(self._grid.block(i))
        return scipy.sparse.csr_matrix((values, places, ends), shape=(rows, h * w))


def cut(
    grid: BlockGrid, blocks: list[int], rows: scipy.sparse.csr_matrix
) -> dict[int, scipy.sparse.csr_matrix]:
    """The columns of some blocks in some rows of A, [rows, pixels of the block], by block.

    The order of the entries of a row stays.
    """
    y, x = np.divmod(rows.indices, grid.shape[1])
    (bh, bw), across = grid.block_shape, grid.blocks_per_side[1]
    block = y // bh * across + x // bw
    parts = {}
    for i in blocks:
        top, left = (side.start for side in grid.block(i))
        h, w = region_shape(grid.block(i))
        mine = np.flatnonzero(block == i)
        places = ((y[mine] - top) * w + (x[mine] - left)).astype(np.int32)
        ends = np.searchsorted(mine, rows.indptr)
        parts[i] = scipy.sparse.csr_matrix(
            (rows.data[mine], places, ends), shape=(rows.shape[0], h * w)
        )
    return parts
