"""What ranks share, where there is but one: the windows of ``asyncred.shared`` as plain memory.

Each class answers to what a run asks of its counterpart, and the image comes out the same to the
last bit; no MPI library is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.operators import ForwardModel, LocalResidual
from asyncred.runtime.comm import Comm

if TYPE_CHECKING:
    from typing_extensions import Self

Array = NDArray[np.float32]


class Plain:
    """A context that holds nothing to be freed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class AloneCounters(Plain):
    """Counterpart of ``Counters``."""

    def __init__(self, comm: Comm, *, sums: int) -> None:
        self.comm = comm
        self._sums = np.zeros((1, sums))
        self._updates = self._claimed = self._stop = 0
        self._asked = self._parts = self._kept = self._relaxed = 0

    def announce(self) -> None:
        """Count one update."""
        self._updates += 1

    def others(self) -> int:
        """There are none."""
        return 0

    def updates(self) -> int:
        """Updates committed."""
        return self._updates

    def publish(self, sums: NDArray[np.float64]) -> None:
        """Keep the running sums."""
        self._sums[0] = sums

    def collect(self) -> NDArray[np.float64]:
        """The running sums, float64 [1, sums]."""
        return self._sums.copy()

    def claim(self, budget: int, size: Callable[[int], int]) -> int:
        """Take some of the budget; how many updates, 0 if none was left."""
        before, chunk = self._claimed, size(self._claimed)
        self._claimed += chunk
        return max(0, min(chunk, budget - before))

    def settle(self, claimed: int) -> None:
        """Set how many updates are claimed."""
        self._claimed = claimed

    def raise_stop(self, reason: int) -> None:
        """Stop before the next update."""
        self._stop = int(reason)

    def stop_reason(self) -> int:
        """0, or why to stop."""
        return self._stop

    def ask_checkpoint(self, number: int) -> None:
        """Ask for a part of a checkpoint."""
        self._asked = number

    def checkpoint_asked(self) -> int:
        """The number of the last one that was asked for."""
        return self._asked

    def ask_to_keep(self) -> None:
        """Ask for a copy of x as it is now."""
        self._kept += 1

    def asked_to_keep(self) -> int:
        """How often that was asked."""
        return self._kept

    def ask_to_relax(self) -> None:
        """Ask for steps of half the size."""
        self._relaxed += 1

    def asked_to_relax(self) -> int:
        """How often that was asked."""
        return self._relaxed

    def count_part(self) -> int:
        """Count one part as written; how many were."""
        self._parts += 1
        return self._parts

    def parts(self) -> int:
        """How many parts were written."""
        return self._parts


class AloneQueue(Plain):
    """Counterpart of ``Queue``."""

    def __init__(self) -> None:
        self._next = self._stopped = 0

    def take(self) -> int:
        """The next number."""
        self._next += 1
        return self._next - 1

    def raise_stop(self, reason: int) -> None:
        """Stop."""
        self._stopped = int(reason)

    def stopped(self) -> int:
        """0, or why to stop."""
        return self._stopped


class AloneResidual(Plain, LocalResidual):
    """Counterpart of ``SharedResidual``; 0 at first."""

    def __init__(self, comm: Comm, model: ForwardModel) -> None:
        super().__init__(model, np.zeros((model.groups, model.length), np.float32))
        self.comm, self.own = comm, range(model.groups)

    def fill(self, values: Callable[[range], Array | np.float32]) -> None:
        """r <- values(all groups), float32 [groups, length]."""
        self.array[:] = values(self.own)

    def ready(self) -> None:
        """What was added is seen."""

    def local(self) -> Array:
        """A copy of r."""
        return self.array.copy()
