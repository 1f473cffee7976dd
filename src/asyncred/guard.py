"""The guard of the proximal update: shorter steps where the way gets longer instead of shorter.

Where A_i sees nothing, the update multiplies the distance to the fixed point by 1 - gamma tau r/mu,
r an eigenvalue of the Jacobian of I - D. With D nonexpansive r <= 2, and mu >= tau is safe at
gamma = 1. Nobody knows r of an arbitrary network. But the sum of ||d_i||^2 over the blocks falls
where the iteration converges and rises where it does not: then gamma is halved. An eigenvalue below
0, with which no gamma would do, makes it rise for ever: the run is stopped.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncred.operators import Image
from asyncred.solver import Monitor
from asyncred.stepsize import Step

RISE = 1.5
"""Times the lowest sum of ||d_i||^2 that is too much."""

NEGLIGIBLE = 2e-3
"""||d_i|| / ||x_i|| below which no rise is looked at."""

SMALLEST = 1 / 64
"""gamma that is not halved any more."""


class Guard:
    """Another step and another monitor, with the former relaxed by what the latter is told.

    ``blocks``: those of this rank, how many. ``give_up`` is called where relaxing does not help.
    ``begun`` says whether the iteration is the final one, which a continuation is not.
    """

    def __init__(
        self,
        step: Step,
        monitor: Monitor,
        *,
        blocks: int,
        begun: Callable[[], bool],
        give_up: Callable[[], None],
    ) -> None:
        self._step, self._monitor = step, monitor
        self._blocks, self._begun, self._give_up = blocks, begun, give_up
        self._squares: dict[int, tuple[float, float]] = {}
        self._lowest, self._seen = np.inf, 0
        self.relaxation = 1.0

    def __call__(self, i: int, delay: int) -> float:
        """The other step's gamma, relaxed."""
        return self.relaxation * self._step(i, delay)

    def record(self, i: int, x_i: Image, G_i: Image, *, gamma: float, delay: int) -> None:
        """Tell the other monitor; look at the sum after every round over the blocks."""
        self._monitor.record(i, x_i, G_i, gamma=gamma, delay=delay)
        if i not in self._squares:
            self._lowest = np.inf
        self._squares[i] = float(np.vdot(G_i, G_i).real), float(np.vdot(x_i, x_i).real)
        self._seen += 1
        if self._seen % self._blocks == 0 and self._begun():
            self._look()

    def _look(self) -> None:
        total, size = np.sum(list(self._squares.values()), axis=0)
        if total <= RISE * max(self._lowest, NEGLIGIBLE**2 * size):
            self._lowest = min(self._lowest, total)
            return
        self._lowest = total
        if self.relaxation > SMALLEST:
            self.relaxation /= 2
        else:
            self._give_up()
