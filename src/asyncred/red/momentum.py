"""Momentum, block by block: v_i <- G_i + beta v_i in the place of G_i.

The heavy ball (Polyak, USSR Comput. Math. Math. Phys. 4(5), 1964) needs of a block nothing but its
own last direction, so it is as asynchronous as the iteration without. It does two things for the
proximal update: where A_i sees nothing, the factor 1 - tau r/mu of an eigenvalue r of the Jacobian
of I - D is stable up to tau r/mu = 2 (1 + beta) instead of 2, and where r is small the way is
1/(1 - beta) times as fast. The fixed points stay: there v_i dies out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asyncred.operators import Image, Rows
from asyncred.red.operator import RedOperator

Velocity = Mapping[int, Image]
"""v_i by block, as of its last update."""


class HeavyBallRed(RedOperator):
    """v_i in the place of another operator's G_i; what is in ``velocity`` is replaced."""

    def __init__(self, G: RedOperator, *, beta: float, velocity: Velocity) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._beta, self._velocity = G, np.float32(beta), velocity

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """v_i after the update that is now to be made."""
        v_i: Image = self._G.block(i, x_tilde, rows) + self._beta * self._velocity[i]
        self._velocity[i][...] = v_i
        return v_i
