"""A coupled forward model small enough to be written out."""

import numpy as np

from asyncred.operators import Footprint


class Dense:
    """Random matrices [groups, width, pixels of the block] on runs that differ by block and group.

    Block i touches measurements first_i[g] to first_i[g] + width of group g.
    """

    dtype = np.float32

    def __init__(self, grid, *, groups=7, length=23, width=15, seed=0):
        self.groups, self.length = groups, length
        rng = np.random.default_rng(seed)
        self._footprints, self._shapes, self.A = [], [], []
        for i in range(len(grid)):
            shape = grid.window(i, 0).shape
            first = rng.integers(0, length - width + 1, groups)
            self._footprints.append(Footprint(first, width))
            self._shapes.append(shape)
            A = rng.standard_normal((groups, width, shape[0] * shape[1]), dtype=np.float32)
            self.A.append(A / np.float32(np.sqrt(groups * length)))

    def footprint(self, i):
        return self._footprints[i]

    def forward(self, i, x_i, groups):
        A = self.A[i] if groups is None else self.A[i][groups]
        return np.einsum("gwn,n->gw", A, x_i.reshape(-1))  # no BLAS: ranks share the cores

    def adjoint(self, i, r, groups):
        A = self.A[i] if groups is None else self.A[i][groups]
        return np.einsum("gwn,gw->n", A, r).reshape(self._shapes[i])

    def whole(self, grid, x):
        """A x, [groups, length]."""
        y = np.zeros((self.groups, self.length), np.float32)
        for i in range(len(grid)):
            for g, first in enumerate(self._footprints[i].first):
                y[g, first : first + self._footprints[i].width] += (
                    self.A[i][g] @ x[grid.block(i)].ravel()
                )
        return y
