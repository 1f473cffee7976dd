"""What every algorithm is given besides G and x: when to stop, and whom to tell.

gm_red, bc_red, sync_red and async_red share one signature,

    algorithm(G, x, *, order, minibatch, step, stop, monitor)

so that they differ in nothing but their order of reading and writing.
"""

from __future__ import annotations

from typing import Protocol

from asyncred.operators import Image


class Stop(Protocol):
    """Asked before every update."""

    def __call__(self) -> bool:
        """True when no further update is to be made."""
        ...


class Monitor(Protocol):
    """Told of every update after it is made."""

    def record(self, i: int, x_i: Image, G_i: Image, *, gamma: float, delay: int) -> None:
        """Block i went from ``x_i`` to ``x_i - gamma G_i``; ``delay`` updates came between."""
        ...


class Silent:
    """A monitor that keeps nothing."""

    def record(self, i: int, x_i: Image, G_i: Image, *, gamma: float, delay: int) -> None:
        """Forget it."""


class AfterUpdates:
    """Stop after a number of questions: for one process, one question an update."""

    def __init__(self, updates: int) -> None:
        self._left = updates

    def __call__(self) -> bool:
        """Count down."""
        self._left -= 1
        return self._left < 0
