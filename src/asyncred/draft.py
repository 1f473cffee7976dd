"""A cheaper denoiser for the first, large steps, the right one for all that follow.

An 8-bit network is several times faster than its twin in single precision, and its RED solution a
few thousandths away. So block i goes by the cheaper one until its step is hardly larger than that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from asyncred.operators import Image, Rows
from asyncred.red import RedOperator

SMALL = 1e-2
"""||step|| / ||x_i|| of a block at which the draft of it is done."""


Drafts = Mapping[int, NDArray[np.int64]]
"""Of each block how many of its updates were drafts, and 1 once these are done: [2]."""


class DraftedRed(RedOperator):
    """G, or for blocks whose drafts are not done the same with a cheaper denoiser.

    ``drafts`` are counted where they are.
    """

    def __init__(self, G: RedOperator, cheaper: RedOperator, drafts: Drafts) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._cheaper, self._drafts = G, cheaper, drafts

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """G_i, or a draft of it."""
        if self._drafts[i][1]:
            return self._G.block(i, x_tilde, rows)
        G_i = self._cheaper.block(i, x_tilde, rows)
        x_i = x_tilde[self._window(i).inner]
        self._drafts[i] += 1, np.linalg.norm(G_i) < SMALL * np.linalg.norm(x_i)
        return G_i
