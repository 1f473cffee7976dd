"""A single-pixel camera: each measurement is the light that one pattern lets through."""

import numpy as np

from asyncred.operators import FullFootprint


class SinglePixel(FullFootprint):
    """/operator/patterns int8 [groups, length, H, W] holds the patterns, group by group."""

    def __init__(self, operator, grid, blocks):
        patterns = operator["patterns"]
        self.groups, self.length = patterns.shape[:2]
        # Only what falls on the blocks of this rank is read.
        self._A = {i: patterns[(..., *grid.block(i))].astype(np.float32) for i in blocks}

    def forward(self, i, x_i, groups):
        """What block i adds to the measurements, float32 [groups, length]."""
        return np.tensordot(self._patterns(i, groups), x_i, axes=2)

    def adjoint(self, i, r, groups):
        """The patterns, weighted by r and summed, on block i, float32 [h, w]."""
        return np.tensordot(r, self._patterns(i, groups), axes=2)

    def _patterns(self, i, groups):
        return self._A[i] if groups is None else self._A[i][groups]
