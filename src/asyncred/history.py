"""What a run says of itself: its state now and then, where its time went, why it ended."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

LONGEST_DELAY = 256
"""Last bin of the delay histogram: this many updates or more."""


class Reason(enum.IntEnum):
    """Why a run ended."""

    BUDGET = 1
    TIME = 2
    TOLERANCE = 3
    SIGNAL = 4
    CALLBACK = 5
    DIVERGED = 6

    @property
    def verdict(self) -> str:
        """What became of a run that ended so."""
        if self is Reason.TOLERANCE:
            return "converged"
        return "diverged" if self is Reason.DIVERGED else "not converged"


@dataclass(frozen=True)
class Sample:
    """The state of a run at one moment. What is not known is NaN."""

    updates: int
    """How many block updates all ranks have made."""
    seconds: float
    """Time since the first update."""
    distance: float
    """How far x is from solving the equation, ||G(x)||^2 over its value at the start."""
    step: float
    """By how much the last epoch changed x, relatively."""
    snr: float
    """Signal-to-noise ratio in dB, if the truth is known."""
    delay: float
    """How many updates others made during one update, in the mean."""
    misfit: float = math.nan
    """How badly x explains the measurements, ||A x - y|| / ||y||."""
    objective: float = math.nan
    """F(x) = 1/2 ||A x - y||^2 + tau p(x), the first term with its weight, if D has a potential
    p."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns of a history, in the order of ``astuple``."""
        return tuple(cls.__dataclass_fields__)


MUCH = 0.15
"""Share of the time outside denoiser and data term that something is wrong with."""


@dataclass(frozen=True)
class Ending:
    """How a run of an image ended."""

    reason: Reason
    left: float
    """||x - x*|| / ||x||, estimated from the steps; inf where they do not shrink."""
    kept: Sample | None
    """What is known of the best x that was seen, if one was kept."""
    back: bool = False
    """Whether the result is that x, since the objective has risen since."""


@dataclass
class Times:
    """Seconds of one rank in its loop; what is in none of the parts is the rest."""

    loop: float = 0.0
    denoiser: float = 0.0
    gradient: float = 0.0
    slowed: float = 0.0

    def reset(self) -> None:
        """Start again from zero."""
        self.loop = self.denoiser = self.gradient = self.slowed = 0.0

    @property
    def rest(self) -> float:
        """Share of the loop outside denoiser, data gradient and deliberate slowness."""
        if self.loop == 0:
            return 0.0
        return 1 - (self.denoiser + self.gradient + self.slowed) / self.loop
