"""A cheaper denoiser for the first, large steps, the right one for all that follow.

An 8-bit network is several times faster than its twin in single precision, and its RED solution a
few thousandths away. So block i goes by the cheaper one until its step is hardly larger than that,
or does not shrink any more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncred.operators import Image, Rows
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, DRAFTED, LEAST, SINCE, Pace, stalls

SMALL = 2e-3
"""Root mean square of a step, over the range from black to white, at which drafts are done."""

PATIENCE = 8
"""Drafts of a block in which its step does not shrink, after which they are done."""


class DraftedRed(RedOperator):
    """G, or for blocks whose drafts are not done the same with a cheaper denoiser.

    Drafts are counted in ``pace``; ``scale`` is the range from black to white.
    """

    def __init__(self, G: RedOperator, cheaper: RedOperator, pace: Pace, *, scale: float) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._cheaper, self._pace = G, cheaper, pace
        self._scale = scale

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """G_i, or a draft of it."""
        pace = self._pace[i]
        if pace[DONE]:
            return self._G.block(i, x_tilde, rows)
        G_i = self._cheaper.block(i, x_tilde, rows)
        done_with_drafts(pace, float(np.linalg.norm(G_i)), G_i.size, scale=self._scale)
        return G_i


def done_with_drafts(pace: NDArray[np.float64], size: float, pixels: int, *, scale: float) -> None:
    """Count a draft of a block, whose step had this norm; see whether it was the last one."""
    pace[DRAFTED] += 1
    if stalls(pace, size, patience=PATIENCE) or size < SMALL * scale * np.sqrt(pixels):
        pace[DONE], pace[LEAST], pace[SINCE] = 1, np.inf, 0
