"""GM-RED and BC-RED in one process: the oracle that every parallel run is held to.

GM-RED: x <- x - gamma G(x)            (Romano, Elad, Milanfar 2017; gradient method)
BC-RED: x <- x - gamma U_i G_i(x)      (Sun, Liu, Kamilov 2019)

Both take the arguments of ``async_red`` and work on a ``LocalImage``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from asyncred.grid import BlockWindows
from asyncred.operators import Image
from asyncred.red.operator import RedOperator
from asyncred.red.sampling import Minibatch, Order
from asyncred.red.solver import Monitor, Stop
from asyncred.red.stepsize import Step

if TYPE_CHECKING:
    from typing_extensions import Self


class LocalImage:
    """The image of one process; it answers to what ``SharedIterate`` does."""

    def __init__(
        self, windows: BlockWindows, x0: Image, *, announce: Callable[[], None] | None = None
    ) -> None:
        """``announce`` is called at every update, where somebody counts them."""
        self.grid, self._windows = windows.grid, windows
        self.array = np.array(x0)
        self._announce = announce

    def through(self, windows: BlockWindows) -> Self:
        """The same image, read through other windows."""
        view = copy.copy(self)
        view._windows = windows
        return view

    def read(self, i: int) -> Image:
        """A copy of the window of block i."""
        return self.array[self._windows[i].region].copy()

    def fresh(self, i: int) -> Image:
        """The same: nothing here is ever stale."""
        return self.read(i)

    def block(self, i: int) -> Image:
        """A copy of block i."""
        return self.array[self.grid.block(i)].copy()

    def own(self, i: int, x_tilde: Image) -> Image:
        """Block i inside its window."""
        return x_tilde[self._windows[i].inner]

    def add(self, i: int, delta: Image) -> None:
        """x <- x + U_i delta."""
        self.array[self.grid.block(i)] += delta
        if self._announce:
            self._announce()

    def request(self, i: int) -> None:
        """Nothing is ever far."""

    def delay(self, i: int) -> int:
        """0: nobody else writes."""
        return 0

    def barrier(self) -> None:
        """Nobody is waited for."""


def gm_red(
    G: RedOperator,
    x: LocalImage,
    *,
    order: Order,
    minibatch: Minibatch,
    step: Step,
    stop: Stop,
    monitor: Monitor,
) -> None:
    """All blocks at once, in whole-image gradient steps; one iteration counts as b updates.

    ``order`` and ``minibatch`` have no say: every block is taken, with all its measurements. Each
    block takes its own step.
    """
    while not stop():
        G_x = G.full(x.array)
        for i in range(len(x.grid)):
            block = x.grid.block(i)
            x_i = x.block(i)
            delta = -step(i, 0) * G_x[block]
            x.add(i, delta)
            G.A.moved(i, delta)
            monitor.record(i, x_i + delta, G_x[block], delta, delay=0)


def bc_red(
    G: RedOperator,
    x: LocalImage,
    *,
    order: Order,
    minibatch: Minibatch,
    step: Step,
    stop: Stop,
    monitor: Monitor,
) -> None:
    """One block at a time, each update from the newest x."""
    while not stop():
        i = order.next()
        x_i = x.block(i)
        G_i = G.block(i, x.read(i), minibatch.draw(G.A.measurements(i)))
        delta = -step(i, 0) * G_i
        x.add(i, delta)
        G.A.moved(i, delta)
        monitor.record(i, x_i + delta, G_i, delta, delay=0)
