"""The data term of a coupled A: gradients from the residual, which every update moves along.

    r = A x - y,   U_i^T grad g(x) = c A_i^T r,   x <- x + U_i delta:  r <- r + A_i delta

c is the weight of the data term, 1 / ||A||^2 as a rule, so that the step size and tau are those of
an A of norm 1. One block update costs one block forward and one block adjoint, where computing A x
anew would cost a whole forward (DESIGN, section 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.protocols import ForwardModel, Image, Rows

Array = NDArray[np.float32]


class Residual(Protocol):
    """r, wherever it is kept, on the footprints of a ForwardModel."""

    def request(self, i: int, rows: Rows | None) -> None:
        """Announce a ``read``."""
        ...

    def read(self, i: int, rows: Rows | None) -> Array:
        """r on the footprint of block i, in some groups (all), float32 [groups, width]."""
        ...

    def add(self, i: int, change: Array) -> None:
        """r <- r + change on the footprint of block i, all groups."""
        ...


class LocalResidual:
    """The residual of one process."""

    def __init__(self, model: ForwardModel, start: Array) -> None:
        """``start`` float32 [groups, length]: -y for x = 0."""
        self._model, self.array = model, np.array(start, np.float32)
        self._places: dict[int, NDArray[np.int64]] = {}

    def request(self, i: int, rows: Rows | None) -> None:
        """Nothing is ever far."""

    def read(self, i: int, rows: Rows | None) -> Array:
        """A copy of r on the footprint."""
        where = self._where(i)
        return self.array.ravel()[where if rows is None else where[rows]]

    def add(self, i: int, change: Array) -> None:
        """r <- r + change on the footprint."""
        self.array.ravel()[self._where(i)] += change

    def _where(self, i: int) -> NDArray[np.int64]:
        """Places of the footprint in all of r, int64 [groups, width]."""
        if i not in self._places:
            footprint, (groups, length) = self._model.footprint(i), self.array.shape
            first = np.arange(groups) * length + footprint.first
            self._places[i] = first[:, None] + np.arange(footprint.width)
        return self._places[i]


class Coupled:
    """Answers ``Operator`` for a ForwardModel.

    ``weight`` is c; ``norms`` maps the blocks of this rank to c ||A_i||^2; ``norm`` is c ||A||^2.
    """

    halo = 0

    def __init__(
        self,
        model: ForwardModel,
        residual: Residual,
        *,
        weight: float,
        norms: Mapping[int, float],
        norm: float,
    ) -> None:
        self.model, self.residual = model, residual
        self._weight, self._norms, self._norm = weight, norms, norm

    def request(self, i: int, rows: Rows | None) -> None:
        """Ask other hosts for the residual that ``gradient`` will read."""
        self.residual.request(i, rows)

    def gradient(self, i: int, x_i: Image, rows: Rows | None) -> Image:
        """c A_i^T r, or c (groups / w) A_S^T r_S for a subset S of w groups.

        With S drawn uniformly the second has the first as its mean. x_i has no say: r knows it.
        """
        r = self.residual.read(i, rows)
        weight = self._weight
        if rows is not None:
            weight *= self.model.groups / len(rows)
        return np.float32(weight) * self.model.adjoint(i, r, rows)

    def normal(self, i: int, v: Image) -> Image:
        """c A_i^T A_i v."""
        v = np.ascontiguousarray(v)
        return np.float32(self._weight) * self.model.adjoint(
            i, self.model.forward(i, v, None), None
        )

    def moved(self, i: int, delta: Image) -> None:
        """r <- r + A_i delta."""
        self.residual.add(i, self.model.forward(i, delta, None))

    def misfit(self, i: int) -> float:
        """NaN: measurements belong to no block; ``Coupling`` tells."""
        return math.nan

    def energy(self, i: int) -> float:
        """NaN likewise."""
        return math.nan

    def measurements(self, i: int) -> int:
        """The number of groups."""
        return self.model.groups

    def lipschitz(self, i: int, minibatch: int | None) -> float:
        """c ||A_i||^2, times groups / w for a minibatch of w: an upper bound."""
        return self._norms[i] * self._share(minibatch)

    def coupling(self, minibatch: int | None) -> float:
        """The same of the whole of A: what bounds updates of many blocks at once."""
        return self._norm * self._share(minibatch)

    def _share(self, minibatch: int | None) -> float:
        return 1.0 if minibatch is None else max(1.0, self.model.groups / minibatch)
