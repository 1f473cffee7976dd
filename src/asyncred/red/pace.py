"""Whether the steps of a block still shrink, which two things hang on: drafts and momentum.

Of each block it is kept how large its smallest step was, and how many updates ago. Where none of
the last ``patience`` updates was notably smaller, the block makes no progress any more: drafts by a
cheaper denoiser then end, whose fixed point is not quite the right one, and momentum is damped,
which can go round in a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

NOTABLY = 0.9
"""Times the smallest step so far, below which a step is notably smaller."""

DRAFTED, DONE, LEAST, SINCE, SHARE, STIFF = range(6)
"""Updates that were drafts; 1 once these are done; the smallest step; updates since it; what is
left of the momentum, from 1 to 0; mu of its anchor over that of the run."""

PATIENCE = 30
"""Updates of a block in which its step does not shrink, after which its momentum is halved."""

LEAST_SHARE = 1 / 8
"""Of the momentum, that is not halved any more."""

Pace = Mapping[int, NDArray[np.float64]]
"""Of each block the six numbers above."""


def beginning(blocks: int) -> NDArray[np.float64]:
    """Of blocks that were never updated, [blocks, 6]."""
    pace = np.zeros((blocks, 6))
    pace[:, LEAST], pace[:, SHARE], pace[:, STIFF] = math.inf, 1.0, 1.0
    return pace


def stalls(pace: NDArray[np.float64], size: float, *, patience: int) -> bool:
    """Count a step of a block, of this size; whether its steps have ceased to shrink.

    What is known of its steps is forgotten then: whatever is done about it deserves a new chance.
    """
    pace[SINCE] += 1
    if size < NOTABLY * pace[LEAST]:
        pace[LEAST], pace[SINCE] = size, 0
    if pace[SINCE] < patience:
        return False
    pace[LEAST], pace[SINCE] = math.inf, 0
    return True


def damp(pace: NDArray[np.float64], size: float) -> None:
    """Halve the momentum of a block whose steps, of which this was one, have ceased to shrink.

    Not while its steps are drafts.
    """
    share = pace[SHARE]
    if share and pace[DONE] and stalls(pace, size, patience=PATIENCE):
        pace[SHARE] = share / 2 if share > LEAST_SHARE else 0.0
