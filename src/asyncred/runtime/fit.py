"""How well x fits the measurements: ||A x - y||^2, from what is computed anyway."""

from __future__ import annotations

import numpy as np

from asyncred.operators import Coupled, Operator
from asyncred.runtime.coupling import Coupling


class BlockFit:
    """Of measurements that belong to blocks: each operator knows it of its last gradient."""

    def __init__(self, A: Operator) -> None:
        self._A, self.by_block = A, True

    def __call__(self, i: int) -> float:
        """||A x - y||^2 in block i."""
        return self._A.misfit(i)


class RankFit:
    """Of a coupled A: the residual that lies with this rank, whatever block is updated."""

    def __init__(self, coupling: Coupling) -> None:
        self._coupling, self.by_block = coupling, False

    def __call__(self, i: int) -> float:
        """||r||^2 over the own groups of measurements."""
        _, r = self._coupling.residual()
        return float(np.vdot(r, r))


def fit_of(
    A: Operator, coupling: Coupling | None, own: list[int], *, minibatch: bool
) -> BlockFit | RankFit | None:
    """What tells it of the blocks or measurements of this rank; None where nothing does."""
    if coupling is not None:
        return RankFit(coupling)
    if minibatch:
        return None
    known = bool(own) and bool(np.isfinite(A.energy(own[0]))) and not isinstance(A, Coupled)
    return BlockFit(A) if known else None
