"""Which block comes next, and which measurements: the random choices of Algorithms 1 and 2.

Choice number n is drawn by a generator seeded with ``[*seed, n]``: a run that goes on after n
updates of a rank draws what it would have drawn uncut, and nothing but n needs to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Order(Protocol):
    """The order in which a rank visits its blocks."""

    def next(self) -> int:
        """The block of the next update."""
        ...


class UniformOrder:
    """Each block with the same probability, whatever came before (the paper's rule).

    ``done`` choices were made before.
    """

    def __init__(self, blocks: Sequence[int], seed: Sequence[int], done: int = 0) -> None:
        self._blocks, self._seed, self._n = list(blocks), list(seed), done

    def next(self) -> int:
        """Draw a block."""
        rng = np.random.default_rng([*self._seed, self._n])
        self._n += 1
        return self._blocks[int(rng.integers(len(self._blocks)))]


class EpochOrder:
    """Every block once an epoch, in an order that is shuffled anew for each epoch.

    ``done`` choices were made before.
    """

    def __init__(self, blocks: Sequence[int], seed: Sequence[int], done: int = 0) -> None:
        self._blocks, self._seed, self._n = list(blocks), list(seed), done
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def next(self) -> int:
        """Take the next block of this epoch."""
        epoch, place = divmod(self._n, len(self._blocks))
        if epoch != self._epoch:
            rng = np.random.default_rng([*self._seed, epoch])
            self._epoch, self._order = epoch, rng.permutation(len(self._blocks))
        self._n += 1
        return self._blocks[int(self._order[place])]


class Minibatch(Protocol):
    """The measurements that one update looks at."""

    def draw(self, m: int) -> NDArray[np.int64] | None:
        """Rows out of m; None for all of them."""
        ...


class FullBatch:
    """All the measurements: Async-RED-BG."""

    def draw(self, m: int) -> None:
        """None: no subset."""


class RandomRows:
    """w rows without replacement, uniformly: Async-RED-SG.

    Each row is in the subset with probability w/m, so the gradient of the subset times m/w has
    the full gradient as its mean. A block with fewer than w measurements uses them all. ``done``
    choices were made before.
    """

    def __init__(self, w: int, seed: Sequence[int], done: int = 0) -> None:
        self._w, self._seed, self._n = w, list(seed), done

    def draw(self, m: int) -> NDArray[np.int64] | None:
        """Sorted int64 [w], or None where w >= m."""
        rng = np.random.default_rng([*self._seed, self._n])
        self._n += 1
        if self._w >= m:
            return None
        rows = rng.choice(m, self._w, replace=False, shuffle=False)
        rows.sort()
        return rows.astype(np.int64, copy=False)
