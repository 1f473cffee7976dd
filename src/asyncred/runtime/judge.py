"""Whether a run is done, or goes wrong: what rank 0 makes of the state of the run, once an epoch.

**Done**: the step of an epoch is below the tolerance and, where nobody chose that, x is near its
limit too: with steps that shrink by the factor q an epoch, ||x - x*|| is about step q / (1 - q).

**Wrong**: an expansive denoiser can have a fixed point that repels. ||G||^2 then falls, as far as
the fixed point is approached, and rises again without end, at a rate that no single step shows. It
counts as diverged where it is ``BEYOND`` times its least, ``PATIENCE`` epochs after that, by steps
that are not negligible, and goes on rising. The least is also when x was best, and is kept.
Where the denoiser has a potential nothing is wrong as long as the objective falls: past a saddle of
it, or a long flat part, ||G||^2 rises.

**Too long a step**: where the denoiser has a potential, every step that is short enough lowers the
objective F. A rise that lasts asks for shorter ones; x was best where F was least.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from asyncred.history import Reason, Sample

BEYOND = 30.0
"""Times the least ||G||^2 that is too much."""

LITTLE = 1e-4
"""||G||^2 over that of the start, below which x is near its limit whatever it was before."""

PATIENCE = 10.0
"""Epochs since then."""

NEGLIGIBLE = 3e-4
"""Relative step of an epoch below which nothing is wrong."""

BETTER = 0.8
"""Times the ||G||^2 of the kept x at which a better one is kept."""

NOISE = 0.01
"""Times the tolerance, below which a step is noise and need not shrink."""

WINDOW = 20
"""Epochs from which the factor q is taken."""

RISE, ROUNDING = 0.02, 1e-4
"""A rise of F: by a share of all that it has fallen, and by a share of itself."""

LASTING = 2
"""Looks, an epoch apart, at which it is seen."""

SHRINKING = 0.9
"""Times the step where F began to rise, below which momentum swings and comes to rest by itself."""

MOST = 6
"""Times that steps are halved."""

TINY = 1e-30

NEAR = 20.0
"""Times the tolerance of the step that x may be from its limit."""


@dataclass(frozen=True)
class Tolerance:
    """When a run is good enough; 0 never is."""

    step: float = 0.0
    distance: float = 0.0
    near: bool = False
    """Whether x must be near its limit as well."""


class Judge:
    """Looks at samples, one an epoch; ``first`` is the epoch before which nothing counts."""

    def __init__(self, tolerance: Tolerance, *, first: float = 0.0, noisy: bool = False) -> None:
        """``noisy``: minibatches, whose ||G||^2 says little."""
        self._tolerance, self._first, self._noisy = tolerance, first, noisy
        self._least, self._at = math.inf, 0.0
        self.kept: Sample | None = None
        """What is known of the x that is kept."""
        self._steps: deque[tuple[float, float]] = deque(maxlen=WINDOW + 1)
        self._distances: deque[float] = deque(maxlen=WINDOW + 1)
        self._highest, self._lowest = -math.inf, math.inf  # F
        self._looked = -math.inf
        self._risen = self._halved = 0
        self._step_then = 0.0  # where F began to rise

    def look(self, epoch: float, sample: Sample) -> Reason | None:
        """Why to stop, if there is a reason to."""
        self._steps.append((epoch, sample.step))
        self._distances.append(sample.distance)
        if not math.isfinite(sample.distance):
            return Reason.DIVERGED
        if epoch >= self._first and self._done(sample):
            return Reason.TOLERANCE
        if epoch < self._first or self._noisy:
            return None
        if sample.distance < self._least:
            self._least, self._at = sample.distance, epoch
        much = max(BEYOND * self._least, LITTLE)
        high = sample.distance > much and sample.step > NEGLIGIBLE
        rises = high and sample.distance > self._distances[0] and not self._falls(sample)
        return Reason.DIVERGED if rises and epoch > self._at + PATIENCE else None

    def better(self, sample: Sample) -> bool:
        """Whether x is notably better than the one kept, and is to be kept instead."""
        kept = self.kept
        if kept is None:
            better = math.isfinite(sample.distance)
        elif math.isfinite(sample.objective):
            better = kept.objective - sample.objective > self._rise()
        else:
            better = sample.distance < BETTER * kept.distance
        if self._noisy or not better:
            return False
        self.kept = sample
        return True

    def overshoots(self, epoch: float, sample: Sample) -> bool:
        """Whether steps are to be halved, since F has risen."""
        F = sample.objective
        if self._noisy or not math.isfinite(F) or self._halved == MOST:
            return False
        if epoch < self._looked + 1:
            return False
        self._looked = epoch
        self._highest, self._lowest = max(self._highest, F), min(self._lowest, F)
        self._risen = self._risen + 1 if F - self._lowest > self._rise() else 0
        if self._risen == 1:
            self._step_then = sample.step
        if self._risen < LASTING or sample.step < SHRINKING * self._step_then:
            return False
        self._halved, self._risen, self._lowest = self._halved + 1, 0, F
        return True

    def is_behind(self, last: Sample) -> bool:
        """Whether the x that is kept was better than the last, by F."""
        kept = self.kept
        return kept is not None and last.objective - kept.objective > self._rise()

    def _falls(self, sample: Sample) -> bool:
        """Whether F is known, and about as low as ever."""
        return sample.objective - self._lowest <= self._rise()

    def _rise(self) -> float:
        """By how much F differs notably."""
        return RISE * (self._highest - self._lowest) + ROUNDING * abs(self._lowest)

    def distance_left(self) -> float:
        """||x - x*|| / ||x||, estimated from the steps; inf where they do not shrink."""
        epochs, steps = np.array(self._steps).reshape(-1, 2).T
        if len(steps) < 2 or not np.isfinite(steps).all() or np.ptp(epochs) == 0:
            return math.inf
        if steps[-1] == 0:
            return 0.0
        slope = float(np.polyfit(epochs, np.log(np.maximum(steps, TINY)), 1)[0])
        if slope >= 0:
            return math.inf
        q = math.exp(slope)
        return float(steps[-1]) * q / (1 - q)

    def _done(self, sample: Sample) -> bool:
        tolerance = self._tolerance
        if sample.distance < tolerance.distance:
            return True
        if not sample.step < tolerance.step:
            return False
        return not tolerance.near or is_near(sample.step, self.distance_left(), tolerance.step)


def is_near(step: float, left: float, tol: float) -> bool:
    """Whether x is near its limit: by the rate at which steps shrink, or as they are mere noise."""
    return left < NEAR * tol or step < NOISE * tol
