"""matrix in a problem file: any sparse A, written out.

/operator        attrs kind = "matrix", shape = [rows, H W]; A in CSR, pixels row by row:
  data           float32 [entries]
  indices        integers [entries], the pixel of each entry
  indptr         integers [rows + 1]: row k has the entries from indptr[k] to indptr[k + 1]
/measurements/y  float32 [rows], or [T, rows]
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

import h5py

from asyncred.files.filters import check_group
from asyncred.files.problem.fields import finite, node, pair
from asyncred.files.problem.head import Asked, read_stack, write_head
from asyncred.files.problem.kinds import CoupledData
from asyncred.files.problem.plausible import (
    PARTS,
    VALUES,
    Shades,
    of_sign,
    of_values,
    said,
    spread,
)
from asyncred.files.whole import open_hdf5, written_whole
from asyncred.grid import BlockGrid
from asyncred.operators import Image, SparseMatrix
from asyncred.operators.matrix import Columns

GROUPS = 256
"""At least so many groups, and one a rank, where there are as many rows: minibatches are drawn of
them, and each rank holds its share of the residual."""

TRIED = 64
"""Rows of a group that the sign of y is held against, at most."""

ROWS, ENTRIES = 1 << 16, 1 << 20
"""How much of A is read at once, at most, or one row."""
ENTRY_BYTES = 40
"""What an entry takes while its rows are cut into blocks: measured, 23 of int32 indices."""


@dataclass(frozen=True)
class MatrixData(CoupledData):
    """The size of A; its entries and y are read by runs of rows."""

    rows: int
    entries: int
    run: int
    """Rows of a group."""

    @property
    def groups(self) -> int:
        """The number of runs of rows, of which minibatches are drawn."""
        return -(-self.rows // self.run)

    @property
    def words(self) -> str:
        """How much was measured."""
        return f"{self.rows} rows in {self.groups} groups of {self.run}, {self.entries} entries"

    def bytes_of(self, blocks: int) -> int:
        """Memory of A, x, y and the residual, where the entries are spread evenly over the blocks.

        Or of A while it is read, if that is more.
        """
        share, n = blocks / len(self.grid), math.prod(self.grid.block_shape)
        parts = 8 * share * self.entries + 4 * blocks * (self.rows + 1)
        reading = max(ENTRY_BYTES * min(self.entries, ENTRIES), 16 * self.rows)
        minibatch = 8 * self.entries / len(self.grid)
        copies = 2 * share + 4 if self.weights is None else 3 * share + 5
        using = 4 * (blocks * n + copies * self.rows) + minibatch
        return round(parts + max(reading, using))

    def check(self) -> None:
        """Read all that can be wrong. Raises ValueError."""
        for _ in self._runs():
            pass
        step = max(1, ENTRIES // self.run)
        for first in range(0, self.groups, step):
            self.y(range(first, min(first + step, self.groups)))

    def doubts(self, shades: Shades | None) -> tuple[str, ...]:
        """About y, and its sign in some runs of rows."""
        step = max(1, self.rows // VALUES)
        with open_hdf5(self.path) as file:
            y = np.asarray(file["measurements/y"][(*self.stack.leading, slice(None, None, step))])
            parts = [self._light(file, group) for group in spread(self.groups, PARTS)]
        if not np.isfinite(y).all():
            return ()
        some = np.concatenate([values for values, _ in parts])
        sums = np.concatenate([sums for _, sums in parts])
        return said(of_values(y, "/measurements/y") or of_sign(some, sums, shades))

    def _light(
        self, file: h5py.File, group: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """y of the first rows of a group, and the sums of these rows of A; few where they are long.

        [rows] twice. No rows where the entries of one are too many, or not where they should be.
        """
        operator, first = file["operator"], group * self.run
        check_group(operator)
        end = min(first + min(self.run, TRIED), self.rows)
        ends = operator["indptr"][first : end + 1].astype(np.int64)
        count = int(np.searchsorted(ends, ends[0] + VALUES // PARTS, "right")) - 1
        ends = ends[: max(0, count) + 1]
        if (np.diff(ends) < 0).any() or ends[0] < 0 or ends[-1] > self.entries:
            ends = ends[:1]
        entries = np.asarray(operator["data"][ends[0] : ends[-1]], np.float32)
        rows = np.repeat(np.arange(ends.size - 1), np.diff(ends))
        sums = np.bincount(rows, entries, minlength=ends.size - 1).astype(np.float32)
        where = (*self.stack.leading, slice(first, first + sums.size))
        return np.asarray(file["measurements/y"][where], np.float32), sums

    def model(self, blocks: list[int], *, threads: int) -> SparseMatrix:
        """A_i of some blocks; of the others no more than a few rows at a time."""
        columns = Columns(self.grid, blocks)
        for rows in self._runs():
            columns.add(rows)
        parts = columns.parts(self.groups * self.run)
        return SparseMatrix(self.grid, parts, groups=self.groups, run=self.run)

    def y(self, groups: range) -> NDArray[np.float32]:
        """y of some groups, float32 [groups, run], the last filled up with zeros.

        Raises ValueError on NaN or Inf.
        """
        first, end = (min(group * self.run, self.rows) for group in (groups.start, groups.stop))
        y = np.zeros((len(groups), self.run), np.float32)
        some = slice(first, end)
        with open_hdf5(self.path) as file:
            found = np.asarray(file["measurements/y"][(*self.stack.leading, some)], np.float32)
        y.reshape(-1)[: end - first] = self.known(found, (some,))
        finite(self.path, f"/measurements/y: rows {first} to {end - 1}", y)
        return y

    def weights_of(self, groups: range) -> NDArray[np.float32] | None:
        """w of some groups as ``y``, 0 at what fills up the last; None where there are none."""
        if self.weights is None:
            return None
        first, end = (min(group * self.run, self.rows) for group in (groups.start, groups.stop))
        w = np.zeros((len(groups), self.run), np.float32)
        w.reshape(-1)[: end - first] = self.weights.read(self.stack.index, (slice(first, end),))
        return w

    def _runs(self) -> Iterator[scipy.sparse.csr_matrix]:
        """All rows of A in their order, some at a time. Raises ValueError."""
        with open_hdf5(self.path) as file:
            operator, first = file["operator"], 0
            check_group(operator)
            while first < self.rows:
                ends = operator["indptr"][first : first + ROWS + 1].astype(np.int64)
                self._check_ends(first, ends)
                most = int(np.searchsorted(ends, ends[0] + ENTRIES, "right")) - 1
                ends = ends[: max(1, most) + 1]
                yield self._rows(operator, first, ends)
                first += ends.size - 1

    def _rows(
        self, operator: h5py.Group, first: int, ends: NDArray[np.int64]
    ) -> scipy.sparse.csr_matrix:
        """The rows from ``first`` on whose entries end at ``ends[1:]``."""
        part, pixels = slice(int(ends[0]), int(ends[-1])), math.prod(self.grid.shape)
        words = f"rows {first} to {first + ends.size - 2}"
        values, indices = np.asarray(operator["data"][part], np.float32), operator["indices"][part]
        finite(self.path, f"/operator/data: {words}", values)
        outside = np.count_nonzero((indices < 0) | (indices >= pixels))
        if outside:
            raise ValueError(
                f"{self.path}: /operator/indices: {words} hold {outside} outside of the "
                f"{pixels} pixels, expected 0 to {pixels - 1}"
            )
        return scipy.sparse.csr_matrix(
            (values, indices, ends - ends[0]), shape=(ends.size - 1, pixels)
        )

    def _check_ends(self, first: int, ends: NDArray[np.int64]) -> None:
        """Raise ValueError unless a run of indptr rises and stays among the entries."""
        wrong = np.flatnonzero((np.diff(ends) < 0) | (ends[1:] > self.entries))
        if wrong.size or ends[0] < 0:
            k = int(wrong[0]) if wrong.size else 0
            raise ValueError(
                f"{self.path}: /operator/indptr: row {first + k} has the entries from {ends[k]} "
                f"to {ends[k + 1]}, expected a rising part of 0 to {self.entries}"
            )


def write_matrix(
    path: Path,
    truth: Image,
    y: NDArray[np.float32],
    *,
    block: tuple[int, int],
    matrix: scipy.sparse.csr_matrix,
) -> None:
    """Write a problem: ``matrix`` [rows, H W], y float32 [rows]."""
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        operator = write_head(file, BlockGrid(truth.shape, block), "matrix")
        operator.attrs["shape"] = matrix.shape
        operator["data"] = matrix.data.astype(np.float32)
        operator["indices"], operator["indptr"] = matrix.indices, matrix.indptr
        file["measurements/y"] = y
        file["truth"] = truth.astype(np.float32)


def read_matrix(path: Path, file: h5py.File, grid: BlockGrid, asked: Asked) -> MatrixData:
    """Check the sizes of /operator and /measurements/y. Raises ValueError."""
    rows, columns = pair(path, file, "operator", "shape")
    pixels = math.prod(grid.shape)
    if columns != pixels:
        raise ValueError(
            f"{path}: /operator shape is [{rows}, {columns}], expected [rows, {pixels}] "
            f"(the pixels of {list(grid.shape)})"
        )
    entries = _entries(path, file, rows)
    y = node(path, file, "measurements/y", h5py.Dataset)
    if y.ndim not in (1, 2) or y.shape[-1] != rows or y.dtype.kind != "f":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 [{rows}] "
            "(the rows of A), or this with a leading axis of images"
        )
    run = max(1, rows // max(GROUPS, asked.ranks))
    return MatrixData(path, grid, read_stack(path, y, 1, asked), rows, entries, run)


def _entries(path: Path, file: h5py.File, rows: int) -> int:
    """How many entries A has. Raises ValueError where data, indices and indptr do not fit."""
    data, indices, indptr = (
        node(path, file, f"operator/{name}", h5py.Dataset) for name in ("data", "indices", "indptr")
    )
    entries = int(data.size)
    for dataset, size, kinds, expected in (
        (data, entries, "f", "float32 [entries]"),
        (indices, entries, "iu", f"integers [{entries}] (as many as data)"),
        (indptr, rows + 1, "iu", f"integers [{rows + 1}] (rows + 1)"),
    ):
        if dataset.shape != (size,) or dataset.dtype.kind not in kinds:
            raise ValueError(
                f"{path}: {dataset.name} is {dataset.dtype} {list(dataset.shape)}, "
                f"expected {expected}"
            )
    if (indptr[0], indptr[-1]) != (0, entries):
        raise ValueError(
            f"{path}: /operator/indptr goes from {indptr[0]} to {indptr[-1]}, expected from 0 to "
            f"{entries} (the entries of data)"
        )
    return entries
