"""The count at which a detector is saturated: where counts pile up, and none is higher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BITS = (8, 10, 12, 14, 16, 32)
"""Of converters: the largest count of each is 2^bits - 1."""

BELOW = 10
"""Values next below the largest one that occur, which it is held against,"""

PILE = 5.0
"""and how many times as many counts it has as one of them."""

CLOSE = 0.1
"""Share of the largest value that these lie below it, at most."""

FEWEST = 10
"""Counts that make a pile."""

VALUES = 2**18
"""Counts that are looked at one by one, about."""


def top_of(parts: Sequence[Array], largest: float) -> float:
    """The count at which the pixels of some parts are saturated, inf where none is.

    ``largest`` is that of the data type, as wide as which a converter may be. Counts are whole.
    """
    full = [2.0**bits - 1 for bits in BITS if 2.0**bits - 1 <= largest] + [largest]
    highest = max((float(part.max()) for part in parts if part.size), default=0.0)
    if highest in full:
        pile = sum(np.count_nonzero(part == highest) for part in parts)
        return highest if pile >= FEWEST else np.inf
    values = np.concatenate([part.ravel() for part in parts])
    values = values[:: 1 | (values.size // VALUES)]
    found, counts = np.unique(values[values >= 0.5 * highest], return_counts=True)
    if found.size <= BELOW or counts[-1] < FEWEST or found[-1] != highest:
        return np.inf
    close = found[-1] - found[-1 - BELOW] < CLOSE * highest
    return highest if close and counts[-1] > PILE * counts[-1 - BELOW : -1].mean() else np.inf
