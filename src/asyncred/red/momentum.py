"""Momentum, block by block: v_i <- G_i + beta v_i in the place of G_i.

The heavy ball (Polyak, USSR Comput. Math. Math. Phys. 4(5), 1964) needs of a block nothing but its
own last direction, so it is as asynchronous as the iteration without. It does two things for the
proximal update: where A_i sees nothing, the factor 1 - tau r/mu of an eigenvalue r of the Jacobian
of I - D is stable up to tau r/mu = 2 (1 + beta) instead of 2, and where r is small the way is
1/(1 - beta) times as fast. The fixed points stay: there v_i dies out.

With an expansive D the heavy ball can go round in a cycle for ever. Where the steps of a block have
ceased to shrink, its beta is halved, and in the end 0; they are then shorter by (1 + beta') / (1 +
beta), so that the same eigenvalues are stable as before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from asyncred.operators import Image, Rows
from asyncred.red.operator import RedOperator
from asyncred.red.pace import SHARE, Pace, damp

Velocity = Mapping[int, Image]
"""v_i by block, as of its last update."""


class HeavyBallRed(RedOperator):
    """v_i in the place of another operator's G_i; what is in ``velocity`` is replaced.

    ``pace`` says what is left of beta for each block.
    """

    def __init__(self, G: RedOperator, *, beta: float, velocity: Velocity, pace: Pace) -> None:
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._beta, self._velocity, self._pace = G, beta, velocity, pace

    def block(self, i: int, x_tilde: Image, rows: Rows | None = None) -> Image:
        """v_i after the update that is now to be made."""
        pace = self._pace[i]
        beta = np.float32(self._beta * pace[SHARE])
        v_i: Image = self._G.block(i, x_tilde, rows) + beta * self._velocity[i]
        self._velocity[i][...] = v_i
        share = pace[SHARE]
        damp(pace, float(np.linalg.norm(v_i)))
        return v_i if share == 1 else np.float32((1 + beta) / (1 + self._beta)) * v_i
