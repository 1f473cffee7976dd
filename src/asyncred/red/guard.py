"""The guard of the proximal update: shorter steps where it overshoots.

Where A_i sees nothing, the update multiplies the distance to the fixed point by 1 - gamma tau r/mu,
r an eigenvalue of the Jacobian of I - D. With D nonexpansive r <= 2, and mu >= tau is safe at
gamma = 1. Nobody knows r of an arbitrary network. But where r is too large, every direction d_i
turns back on the one before, and is longer: <d_i, last d_i> summed over the blocks is below 0, and
the sum of ||d_i||^2 rises. Then gamma is halved. A sum that rises while x goes on in one direction
is none of this: from afar d_i grows where the denoiser begins to see structure. An eigenvalue
below 0, with which no gamma would do, lets it grow for ever: such a run is stopped.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncred.operators import Image
from asyncred.red.solver import Monitor
from asyncred.red.stepsize import Step

RISE = 1.5
"""Times the lowest sum of ||d_i||^2 that is too much."""

NEGLIGIBLE = 2e-3
"""||d_i|| / ||x_i|| below which no rise is looked at."""

SMALLEST = 1 / 64
"""gamma that is not halved any more."""

HOPELESS = 1e4
"""Times the first sum of ||d_i||^2 at which a run is given up."""


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
        self._last: dict[int, Image] = {}
        self._found: dict[int, tuple[float, float, float]] = {}  # of each block, for _look
        self._lowest = self._first = np.inf
        self._seen = 0
        self.relaxation = 1.0

    def __call__(self, i: int, delay: int) -> float:
        """The other step's gamma, relaxed."""
        return self.relaxation * self._step(i, delay)

    def record(self, i: int, x_i: Image, G_i: Image, step_i: Image, *, delay: int) -> None:
        """Tell the other monitor; look at the sum after every round over the blocks."""
        self._monitor.record(i, x_i, G_i, step_i, delay=delay)
        last = self._last.get(i)
        if last is None:
            self._lowest = self._first = np.inf  # of fewer blocks
        else:
            self._found[i] = _inner(G_i, G_i), _inner(x_i, x_i), _inner(G_i, last)
        self._last[i] = G_i
        self._seen += 1
        if self._seen % self._blocks == 0 and self._found and self._begun():
            self._look()

    def _look(self) -> None:
        total, size, along = np.sum(list(self._found.values()), axis=0)
        if self._first == np.inf:
            self._first = max(total, NEGLIGIBLE**2 * size)
        too_much = not total <= RISE * max(self._lowest, NEGLIGIBLE**2 * size)
        if not too_much:
            self._lowest = min(self._lowest, total)
            return
        self._lowest = total
        if along < 0 and self.relaxation > SMALLEST:
            self.relaxation /= 2
        elif along < 0 or total > HOPELESS * self._first:
            self._give_up()


def _inner(a: Image, b: Image) -> float:
    return float(np.vdot(a, b).real)
