"""The two terms of the objective, from what is computed anyway: ||A x - y||^2 and tau p(x)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asyncred.operators import Operator
from asyncred.runtime.coupling import Coupling


class Fit:
    """What an update tells of them.

    Each operator with measurements of its own knows its misfit as of the last gradient of a block.
    Where A couples the blocks, measurements belong to none: then each rank looks at the part of the
    residual that lies with it. A denoiser with the potential p says it beside every image.
    """

    def __init__(
        self,
        A: Operator,
        coupling: Coupling | None,
        *,
        tau: float,
        potentials: Mapping[int, float] | None,
        minibatch: bool,
    ) -> None:
        """``potentials`` p of each block as of its last update, where D tells it."""
        self._A, self._coupling, self._minibatch = A, coupling, minibatch
        self._tau, self._potentials = tau, potentials

    def of_block(self, i: int) -> tuple[float, float]:
        """||A x - y||^2 and tau p(x), as of the last update of block i; 0 where it is not told."""
        p = self._tau * self._potentials[i] if self._potentials is not None else 0.0
        if self._coupling is not None or self._minibatch:
            return 0.0, p
        misfit = self._A.misfit(i)
        return (misfit if np.isfinite(misfit) else 0.0), p

    def of_rank(self, known: float) -> float:
        """||A x - y||^2 of this rank; ``known`` where the blocks tell it."""
        if self._coupling is None:
            return known
        _, r = self._coupling.residual()
        return float(np.vdot(r, r))
