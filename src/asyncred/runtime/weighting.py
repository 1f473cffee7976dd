"""Weights of a coupled data term: every rank reads those of its groups, and gets its blocks' parts.

The window of the residual takes them from rank to rank, before it holds a residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.files.problem import CoupledData
from asyncred.operators import ForwardModel, Weighted
from asyncred.operators.weighted import roots_of

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyResidual

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Weighting:
    """What takes the place of A and y: the data term is 1/2 ||W^(1/2) A x - W^(1/2) y||^2."""

    model: Weighted
    """W^(1/2) A."""
    roots: Array
    """w^(1/2) of the own groups, float32 [groups, length]: times y, it is W^(1/2) y."""


def weigh(
    residual: AnyResidual, model: ForwardModel, data: CoupledData, blocks: Sequence[int]
) -> Weighting | None:
    """W^(1/2) A on some blocks; None where there are no weights. Collective; r is lost.

    The mean weight, of the measurements that have one, is made 1.
    """
    w = data.weights_of(residual.own)
    if w is None:
        return None
    sums = np.array([w.sum(dtype=np.float64), np.count_nonzero(w)])
    total, count = residual.comm.allreduce(sums)
    own = roots_of(w, total / count if total > 0 else 1.0)
    residual.fill(lambda groups: own)
    parts: dict[int, Array] = {}
    whole: Array | None = None  # one for all blocks that touch everything
    for i in blocks:
        everything = model.footprint(i).width == model.length
        if whole is None or not everything:
            parts[i] = residual.read(i, None)
            whole = parts[i] if everything else whole
        else:
            parts[i] = whole
    return Weighting(Weighted(model, parts), own)
