"""A cheaper denoiser for the first, large steps, the right one for all that follow.

An 8-bit network is several times faster than its twin in single precision, and its RED solution a
few thousandths away. So block i goes by the cheaper one until its step is hardly larger than that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asyncred.operators import Image, Rows
from asyncred.red import RedOperator

SMALL = 1e-2
"""||step|| / ||x_i|| of a block at which the draft of it is done."""


class Drafts:
    """How many updates of each block were drafts, and of which blocks the draft is done.

    ``known`` are both, by block, of a run that goes on; the others have not begun.
    """

    def __init__(self, known: Mapping[int, tuple[int, bool]]) -> None:
        self._updates = {i: updates for i, (updates, _) in known.items()}
        self._done = {i for i, (_, done) in known.items() if done}

    def of(self, i: int) -> tuple[int, bool]:
        """The number of block i, and whether its draft is done."""
        return self._updates.get(i, 0), i in self._done

    def count(self, i: int, *, done: bool) -> None:
        """Count an update that was a draft, the last one of this block if it is ``done``."""
        self._updates[i] = self._updates.get(i, 0) + 1
        if done:
            self._done.add(i)


class DraftedRed(RedOperator):
    """G, or for blocks whose draft is not done the same with a cheaper denoiser."""

    def __init__(self, G: RedOperator, cheaper: RedOperator, drafts: Drafts) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._cheaper, self._drafts = G, cheaper, drafts

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """G_i, or a draft of it."""
        if self._drafts.of(i)[1]:
            return self._G.block(i, x_tilde, rows)
        G_i = self._cheaper.block(i, x_tilde, rows)
        x_i = x_tilde[self._window(i).inner]
        self._drafts.count(i, done=bool(np.linalg.norm(G_i) < SMALL * np.linalg.norm(x_i)))
        return G_i
