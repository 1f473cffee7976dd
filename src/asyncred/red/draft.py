"""A cheaper denoiser for the first, large steps, the right one for all that follow.

An 8-bit network is several times faster than its twin in single precision, and its RED solution a
few thousandths away. So block i goes by the cheaper one until its step is hardly larger than that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from asyncred.operators import Image, Rows
from asyncred.red.operator import RedOperator

SMALL = 2e-3
"""Root mean square of a step, over the range from black to white, at which drafts are done."""


Drafts = Mapping[int, NDArray[np.int64]]
"""Of each block how many of its updates were drafts, and 1 once these are done: [2]."""


class DraftedRed(RedOperator):
    """G, or for blocks whose drafts are not done the same with a cheaper denoiser.

    ``drafts`` are counted where they are; ``scale`` is the range from black to white.
    """

    def __init__(
        self, G: RedOperator, cheaper: RedOperator, drafts: Drafts, *, scale: float
    ) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._cheaper, self._drafts = G, cheaper, drafts
        self._small = SMALL * scale

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """G_i, or a draft of it."""
        if self._drafts[i][1]:
            return self._G.block(i, x_tilde, rows)
        G_i = self._cheaper.block(i, x_tilde, rows)
        counts = self._drafts[i]
        counts += 1, np.linalg.norm(G_i) < self._small * np.sqrt(G_i.size)
        return G_i
