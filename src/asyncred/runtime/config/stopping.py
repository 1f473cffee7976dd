"""Parameters of a run: when it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from asyncred.runtime.config import checks
from asyncred.runtime.config.declare import parameter

EPOCHS = 400
"""Of a run that is told no budget."""

PROXIMAL_TOL = 1e-4
"""Where such a run by the proximal or the anchored update stops: its steps shrink fast."""


@dataclass(frozen=True)
class StoppingConfig:
    """When a run ends."""

    epochs: float | None = parameter(
        checks.number("a number > 0", open_low=True),
        "at most this many epochs; in one epoch each block is updated once on average",
        section="basic",
        metavar="COUNT",
        default=None,
        shown=str(EPOCHS),
    )
    tol: float | None = parameter(
        checks.number("a number >= 0"),
        "stop when one epoch changes the image by less than this, relatively",
        section="basic",
        metavar="NUMBER",
        default=None,
        shown="1e-4 if neither epochs nor updates are given, except with --update gradient; else 0",
    )
    max_time: float = parameter(
        checks.duration,
        "stop after this time: seconds, 90m, 1h, or SLURM's D-HH:MM:SS",
        section="basic",
        metavar="TIME",
        default=math.inf,
        shown="no limit",
    )
    patience: float | None = parameter(
        checks.duration,
        "end the job where a rank waits this long for another one, or for the end of max-time",
        section="stopping",
        metavar="TIME",
        default=None,
        shown="1m, or 20 times the longest update",
    )
    updates: int | None = parameter(
        checks.integer("an integer >= 1", low=1, large=True),
        "at most this many updates of single blocks, instead of epochs",
        section="stopping",
        metavar="COUNT",
        default=None,
    )
    tol_distance: float = parameter(
        checks.number("a number >= 0"),
        "stop when the distance, ||G||^2 over that of the start, is below this",
        section="stopping",
        metavar="NUMBER",
        default=0.0,
        shown="0",
    )

    def budget(self, blocks: int) -> int:
        """Block updates of the whole run."""
        if self.updates is not None:
            return self.updates
        return math.ceil((EPOCHS if self.epochs is None else self.epochs) * blocks)

    def tolerance(self, *, proximal: bool) -> float:
        """Of the step of an epoch; ``proximal``: not by the gradient update."""
        if self.tol is not None:
            return self.tol
        told = self.updates is not None or self.epochs is not None or self.tol_distance > 0
        return PROXIMAL_TOL if proximal and not told else 0.0
