"""The anchored update: one call of the denoiser for several updates of the data term.

    w_i <- x_i - (tau/mu) (x_i - D_i(x)) + beta u_i,    u_i the last step of w_i            (1)

moves the anchor of block i, which no other block looks at. Any number of updates by the data alone

    d_j = (A_j^T A_j + mu I)^-1 [A_j^T (A x - y) + mu (x_j - w_j)]                          (2)
    v_j <- gamma d_j + beta_d (1 - gamma) v_j,    x_j <- x_j - v_j                          (3)

then draw the blocks to their anchors, as far as the measurements let them. With all anchors held,
(2) and (3) are block descent on a convex quadratic, whose minimum is

    argmin_x  1/2 ||A x - y||^2 + mu/2 ||x - w||^2,

so that on the whole this is the proximal method on f + tau p, with heavy ball on w: x' is the prox
of f at w, w' = x' - (tau/mu) (I - D)(x') + beta (w' - w). Where A couples the blocks, an error that
is smooth over many of them takes many rounds of (2) to go, at a tenth of the cost of (1) each.

**Fixed points.** Where all u_i, v_j are 0, mu (x_i - w_i) = tau (x_i - D_i(x)), so that d_i = 0
says G_i(x) = 0: those of every other update here, whatever mu, beta and the number of rounds.

**Stability.** An eigenvalue r of the Jacobian of I - D, where A sees nothing, is stable up to
tau r/mu = 2 (1 + beta). With a potential p, mu >= tau h/2 (h the largest eigenvalue of the Hessian
of p) makes (1) without momentum and exact rounds of (2) lower f + tau p (Attouch, Bolte, Svaiter,
Math. Programming 137, 2013). With momentum, few rounds and stale reads this is measured, not
proven: the guard and the objective watch it.

**Delay.** One after the other, updates (3) with gamma = 1 are block Gauss-Seidel. The more blocks
move at once the smaller gamma has to be (``stepsize.ProximalStep``), and the larger is the momentum
that makes up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from asyncred.operators import Image
from asyncred.red.bounds import clipped, is_free
from asyncred.red.circulant import Circulant
from asyncred.red.draft import done_with_drafts
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, SHARE, STIFF, Pace, damp
from asyncred.red.proximal import conjugate_gradients

DATA_MOMENTUM = 0.65
"""beta_d, from simulations at 4 and 16 workers."""

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Anchors:
    """Of each block: its anchor, the last step of that, and the last step of the block."""

    w: Mapping[int, Image]
    u: Mapping[int, Image]
    v: Mapping[int, Image]


@dataclass(frozen=True)
class Pull:
    """How anchors move, and how blocks follow them."""

    mu: float
    beta: float
    steps: int
    """Of conjugate gradients."""
    bounds: Bounds | None = None
    """What x is kept between."""
    scale: float = 1.0
    """The range from black to white."""


class AnchoredRed(RedOperator):
    """(1) and (2) for one image; what is in ``anchors`` and ``pace`` is replaced."""

    def __init__(
        self,
        G: RedOperator,
        cheaper: RedOperator | None,
        anchors: Anchors,
        pace: Pace,
        pull: Pull,
    ) -> None:
        """``cheaper`` has the denoiser for drafts."""
        super().__init__(G.grid, G.A, G.D, tau=G.tau)
        self._G, self._cheaper = G, cheaper
        self.anchors, self._pace = anchors, pace
        self._mu0, self._beta, self._steps = pull.mu, pull.beta, pull.steps
        self._bounds, self._scale = pull.bounds, pull.scale
        self._inverses: dict[int, Circulant] = {}
        self._helps: bool | None = None

    def anchor(self, i: int, x_tilde: Image, relaxed: float) -> tuple[Image, Image]:
        """(1) with mu over ``relaxed``; x_i - D_i(x), and how far w_i went."""
        pace, x_i = self._pace[i], x_tilde[self.windows[i].inner]
        draft = self._cheaper is not None and not pace[DONE]
        source = self._cheaper if draft else self._G
        assert source is not None
        R_i = source.residual(i, x_tilde)

        w_i, u_i = self.anchors.w[i], self.anchors.u[i]
        beta = np.float32(self._beta * pace[SHARE])
        # with less momentum a larger mu, for the same eigenvalues to be stable
        before, pace[STIFF] = pace[STIFF], (1 + self._beta) / (1 + float(beta)) / relaxed
        if before != pace[STIFF]:  # an anchor that pulls as strongly as the one before
            w_i[...] = x_i - np.float32(before / pace[STIFF]) * (x_i - w_i)
        new = x_i - np.float32(self.tau / self._mu(i)) * R_i + beta * u_i
        u_i[...] = new - w_i
        w_i[...] = new

        size = float(np.linalg.norm(u_i))
        if draft:
            done_with_drafts(pace, size, u_i.size, scale=self._scale)
        else:
            damp(pace, size)
        return R_i, u_i.copy()

    def direction(self, j: int, x_j: Image, g_j: Image) -> Image:
        """d_j of (2), from the gradient of the data term ``g_j`` at ``x_j``."""
        mu = np.float32(self._mu(j))
        g = g_j + mu * (x_j - self.anchors.w[j])
        free: Image | bool = True
        if self._bounds is not None and not np.iscomplexobj(g):
            free = is_free(x_j, g, *self._bounds)

        def hessian(v: Image) -> Image:
            out: Image = (self.A.normal(j, v) + mu * v) * free
            return out

        inverse = self._inverse(j)

        def precondition(v: Image) -> Image:
            out: Image = v if inverse is None else inverse(v, float(mu)) * free
            return out

        return conjugate_gradients(hessian, g * free, self._steps, precondition=precondition)

    def step(self, j: int, x_j: Image, d_j: Image, gamma: float) -> Image:
        """What (3) adds to block j."""
        v_j = self.anchors.v[j]
        v_j[...] = np.float32(gamma) * d_j + np.float32(DATA_MOMENTUM * (1 - gamma)) * v_j
        if self._bounds is None:
            return -v_j
        v_j[...] = x_j - clipped(x_j - v_j, *self._bounds)
        return -v_j

    def _inverse(self, j: int) -> Circulant | None:
        """The preconditioner of block j, if that of the rank's first block is found to help."""
        if self._helps is None:
            first = min(self.anchors.w)
            normal = partial(self.A.normal, first)
            tried = self._circulant(first)
            rng = np.random.default_rng(first)
            self._helps = tried.helps(normal, self._mu0, self._steps, rng)
        return self._circulant(j) if self._helps else None

    def _circulant(self, j: int) -> Circulant:
        if j not in self._inverses:
            w_j = self.anchors.w[j]
            self._inverses[j] = Circulant(partial(self.A.normal, j), w_j.shape, w_j.dtype)
        return self._inverses[j]

    def _mu(self, i: int) -> float:
        """That of the anchor of block i."""
        return self._mu0 * float(self._pace[i][STIFF])
