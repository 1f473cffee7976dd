"""What every algorithm is given besides G and x: when to stop, and whom to tell.

gm_red, bc_red, sync_red and async_red share one signature,

    algorithm(G, x, *, order, minibatch, step, stop, monitor)

so that they differ in nothing but their order of reading and writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncred.grid import BlockWindows
from asyncred.operators import Image

if TYPE_CHECKING:
    from typing_extensions import Self


class SharedIterate(Protocol):
    """x as the parallel algorithms see it: each reads windows of it and adds to blocks."""

    def request(self, i: int) -> None:
        """Ask other hosts for what the window of block i needs of them; ``read`` collects it."""
        ...

    def read(self, i: int) -> Image:
        """The window of block i, after ``request(i)``; never waits for a rank that computes."""
        ...

    def fresh(self, i: int) -> Image:
        """Request and read at once."""
        ...

    def own(self, i: int, x_tilde: Image) -> Image:
        """Block i inside its window."""
        ...

    def add(self, i: int, delta: Image) -> None:
        """x <- x + U_i delta, at once."""
        ...

    def delay(self, i: int) -> int:
        """Updates by others since the window last read was asked for."""
        ...

    def through(self, windows: BlockWindows) -> Self:
        """The same image, read through other windows."""
        ...

    def barrier(self) -> None:
        """Wait for all ranks."""
        ...


class Stop(Protocol):
    """Asked before every update."""

    def __call__(self) -> bool:
        """True when no further update is to be made."""
        ...


class Monitor(Protocol):
    """Told of every update after it is made."""

    def record(self, i: int, x_i: Image, G_i: Image, step_i: Image, *, delay: int) -> None:
        """Block i is ``x_i`` now, after a step of ``step_i`` along its direction ``-G_i``.

        ``delay`` updates came between read and write.
        """
        ...


class Silent:
    """A monitor that keeps nothing."""

    def record(self, i: int, x_i: Image, G_i: Image, step_i: Image, *, delay: int) -> None:
        """Forget it."""


class AfterUpdates:
    """Stop after a number of questions: for one process, one question an update."""

    def __init__(self, updates: int) -> None:
        self._left = updates

    def __call__(self) -> bool:
        """Count down."""
        self._left -= 1
        return self._left < 0
