"""Which block comes next, and which measurements: the random choices of Algorithms 1 and 2.

Choice number n is drawn by a generator seeded with ``[*seed, n]``: a run that goes on after n
updates of a rank draws what it would have drawn uncut, and nothing but n needs to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray


class Order(Protocol):
    """The order in which a rank visits blocks."""

    @property
    def ahead(self) -> bool:
        """Whether the next block may be drawn while this one is being worked on."""
        ...

    def next(self) -> int:
        """The block of the next update."""
        ...

    def done(self, i: int) -> None:
        """Be told that the update of block i was made."""
        ...


class OwnBlocks:
    """Of an order of blocks that no other rank updates: what it draws it need not give back."""

    ahead: ClassVar[bool] = True

    def done(self, i: int) -> None:
        """Nobody waits for it."""


class UniformOrder(OwnBlocks):
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


class EpochOrder(OwnBlocks):
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


class Board(Protocol):
    """What several ranks know of the blocks that any of them may update."""

    blocks: list[int]

    def look(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """How often each of ``blocks`` was updated, and whether it is free."""
        ...

    def claim(self, i: int, updates: int) -> bool:
        """Take block i if it is free and was updated as often as that; whether it was."""
        ...

    def done(self, i: int) -> None:
        """Count one update of block i, which was claimed, and give the block back."""
        ...

    def release(self, i: int) -> None:
        """Give block i back, which was claimed, and count nothing."""
        ...


class LeastUpdated:
    """The least-updated block of the board that is free; of several an own one, then any.

    A rank during whose last update the others made several of every block takes one that is as far
    ahead, as it will keep it for as long: else it would always hold the block that needs it most.

    ``next`` claims the block and ``done`` gives it back: no two ranks work on one block. A rank
    holds one at most, so where there are as many blocks as ranks, one is always free. ``done``
    choices were made before.
    """

    ahead: ClassVar[bool] = False

    def __init__(
        self, board: Board, own: Sequence[int], seed: Sequence[int], done: int = 0
    ) -> None:
        self._board, self._seed, self._n = board, list(seed), done
        self._own = np.isin(board.blocks, list(own))
        self._seen: int | None = None

    def next(self) -> int:
        """Claim a block."""
        rng = np.random.default_rng([*self._seed, self._n])
        self._n += 1
        while True:
            updates, free = self._board.look()
            if not free.any():
                continue  # blocks changed hands while they were looked at
            near = free & (updates <= updates[free].min() + self._meanwhile(updates))
            best = np.flatnonzero(near & (updates == updates[near].max()))
            own = best[self._own[best]]
            place = int(rng.choice(own if own.size else best))
            i = self._board.blocks[place]
            if self._board.claim(i, int(updates[place])):
                self._seen = int(updates.sum())
                return i

    def _meanwhile(self, updates: NDArray[np.int64]) -> float:
        """Updates of a block, on average, by others since this rank claimed its last one."""
        return 0.0 if self._seen is None else (updates.sum() - self._seen - 1) / updates.size

    def done(self, i: int) -> None:
        """Give the block back, with one more update."""
        self._board.done(i)


class Turn(Protocol):
    """Which blocks are updated by the data term alone."""

    def after(self, i: int) -> Iterator[int]:
        """Some blocks, one after the other, after the denoiser was called for block i."""
        ...


class OwnTurn:
    """Each of the own blocks in turn, ``count`` after each call of the denoiser.

    ``done`` such calls were made before.
    """

    def __init__(self, blocks: Sequence[int], count: int, done: int = 0) -> None:
        self._blocks, self._count, self._n = list(blocks), count, count * done

    def after(self, i: int) -> Iterator[int]:
        """The next blocks of the round."""
        for _ in range(self._count):
            self._n += 1
            yield self._blocks[self._n % len(self._blocks)]


class SharedTurn:
    """Each block of a board in turn, where no other rank works on it; ``first`` comes first.

    The block that this rank holds is its own to update, too.
    """

    def __init__(self, board: Board, count: int, first: int, done: int = 0) -> None:
        self._board, self._count, self._n = board, count, first + count * done

    def after(self, i: int) -> Iterator[int]:
        """The next blocks of the round, each held until the one after it is asked for."""
        blocks = self._board.blocks
        for _ in range(self._count):
            place = self._n % len(blocks)
            self._n += 1
            j = blocks[place]
            if j == i:
                yield j
                continue
            updates, free = self._board.look()
            if free[place] and self._board.claim(j, int(updates[place])):
                yield j
                self._board.release(j)


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
