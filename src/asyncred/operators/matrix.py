"""A given sparse matrix A, cut into runs of rows and, by block, into columns: A_i = A U_i.

For geometries that no other model here knows: whoever can write A down can reconstruct with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from asyncred.grid import BlockGrid
from asyncred.operators.protocols import Footprint, Image, Rows


class SparseMatrix:
    """A ``ForwardModel`` whose groups are runs of ``run`` rows of A that follow each other.

    ``matrix`` float32 [rows, H W] in CSR, pixels in row-major order. Measurements are float32
    [groups, run], y in order, the last run filled up with zeros: A has rows of zeros there. A block
    touches every run as a whole, whether or not it has entries in all its rows.

    A_i is cut out when block i is first asked for, and kept: the blocks of one rank hold about
    their share of the entries, beside ``matrix``, which is not copied. Some groups are cut out of
    A_i anew at each call, at the cost of a copy of their entries.

    On a grid of one block ``forward`` is A x. Raises ValueError.
    """

    dtype = np.float32

    def __init__(self, grid: BlockGrid, matrix: csr_matrix, run: int = 64) -> None:
        rows, n = matrix.shape
        pixels = grid.shape[0] * grid.shape[1]
        if n != pixels or rows < 1 or matrix.format != "csr" or matrix.dtype != np.float32:
            raise ValueError(
                f"matrix is {matrix.format} {matrix.dtype} {[rows, n]}, "
                f"expected csr float32 [rows, {pixels}], rows >= 1"
            )
        if run < 1:
            raise ValueError(f"run is {run}, expected at least 1")
        self.groups, self.length = -(-rows // run), run
        self._grid = grid
        filled = self.groups * run
        ends = np.pad(matrix.indptr, (0, filled - rows), mode="edge")
        self._matrix = csr_matrix((matrix.data, matrix.indices, ends), shape=(filled, n))
        self._parts: dict[int, csr_matrix] = {}
        self._footprint = Footprint(np.zeros(self.groups, np.int64), run)

    def footprint(self, i: int) -> Footprint:
        """All rows of all runs."""
        return self._footprint

    def forward(self, i: int, x_i: Image, groups: Rows | None) -> NDArray[np.float32]:
        """A_i x_i in some groups (all), float32 [groups, run]."""
        y: NDArray[np.float32] = self._part(i, groups) @ x_i.reshape(-1)
        return y.reshape(-1, self.length)

    def adjoint(self, i: int, r: NDArray[np.float32], groups: Rows | None) -> Image:
        """A_i^T r from some groups (all), float32 [h, w]."""
        x_i: Image = self._part(i, groups).T @ r.reshape(-1)
        return x_i.reshape(self._grid.window(i, 0).shape)

    def _part(self, i: int, groups: Rows | None) -> csr_matrix:
        if i not in self._parts:
            rows, cols = self._grid.block(i)
            pixels = np.arange(self._matrix.shape[1]).reshape(self._grid.shape)
            self._parts[i] = self._matrix[:, pixels[rows, cols].ravel()]
        if groups is None:
            return self._parts[i]
        return self._parts[i][(groups[:, None] * self.length + np.arange(self.length)).ravel()]
