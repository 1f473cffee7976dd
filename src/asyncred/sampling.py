"""Which block comes next, and which measurements: the random choices of Algorithms 1 and 2.

Every generator is seeded by its owner (``[seed, rank, purpose]``) and passed in.
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
    """Each block with the same probability, whatever came before (the paper's rule)."""

    def __init__(self, blocks: Sequence[int], rng: np.random.Generator) -> None:
        self._blocks, self._rng = list(blocks), rng

    def next(self) -> int:
        """Draw a block."""
        return self._blocks[int(self._rng.integers(len(self._blocks)))]


class EpochOrder:
    """Every block once an epoch, in an order that is shuffled anew for each epoch."""

    def __init__(self, blocks: Sequence[int], rng: np.random.Generator) -> None:
        self._blocks, self._rng = list(blocks), rng
        self._left: list[int] = []

    def next(self) -> int:
        """Take the next block of this epoch."""
        if not self._left:
            self._left = [self._blocks[k] for k in self._rng.permutation(len(self._blocks))]
        return self._left.pop()


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
    the full gradient as its mean. A block with fewer than w measurements uses them all.
    """

    def __init__(self, w: int, rng: np.random.Generator) -> None:
        self._w, self._rng = w, rng

    def draw(self, m: int) -> NDArray[np.int64] | None:
        """Sorted int64 [w], or None where w >= m."""
        if self._w >= m:
            return None
        rows = self._rng.choice(m, self._w, replace=False, shuffle=False)
        rows.sort()
        return rows.astype(np.int64, copy=False)
