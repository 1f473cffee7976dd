"""The step size gamma: from the Lipschitz constant L, the weight tau and the delay of an update.

With g convex and L-smooth and D nonexpansive, G = grad g + tau (I - D) is 1/(L + 2 tau)-cocoercive
(Sun et al. 2019, BC-RED). Two bounds follow for b blocks drawn uniformly and delays of at most
lambda updates:

    gamma <= 1 / ((1 + 2 lambda / sqrt(b)) (L + 2 tau))     Sun et al., Async-RED, ICLR 2021, Thm 1
    gamma <  2 / ((1 + 2 lambda / sqrt(b)) (L + 2 tau))     Peng, Xu, Yan, Yin, ARock, SIAM J. Sci.
                                                            Comput. 38(5), 2016, Thm 3, for the
                                                            nonexpansive I - 2 G / (L + 2 tau)

Both ask for the worst delay; steps that follow the delay of each update are studied by Wu,
Magnusson, Feyzmahdavian, Johansson (ICML 2022). Where A is block-diagonal the constant
L_i of the block takes the place of L. Ranks that own their blocks draw them uniformly only if they
are equally fast: the bounds are a guide there, and the result file says how often each block was
updated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

RELAXATION = 0.9
"""How much of ARock's bound ``AdaptiveStep`` takes."""


class Step(Protocol):
    """gamma of one update, from its block and its delay (updates by others since its read)."""

    def __call__(self, i: int, delay: int) -> float: ...


class FixedStep:
    """The same gamma for every update."""

    def __init__(self, gamma: float) -> None:
        self._gamma = gamma

    def __call__(self, i: int, delay: int) -> float:
        """Return gamma."""
        return self._gamma


class SafeStep:
    """The paper's bound with lambda the largest delay seen so far, at least ``delay_bound``."""

    def __init__(self, L: Mapping[int, float], *, tau: float, b: int, delay_bound: int) -> None:
        self._L, self._tau, self._root_b, self._delay = L, tau, np.sqrt(b), delay_bound

    def __call__(self, i: int, delay: int) -> float:
        """Return 1 / ((1 + 2 lambda / sqrt(b)) (L_i + 2 tau))."""
        self._delay = max(self._delay, delay)
        return float(1 / ((1 + 2 * self._delay / self._root_b) * (self._L[i] + 2 * self._tau)))


class AdaptiveStep:
    """ARock's bound, relaxed by ``RELAXATION``, for the part of G that reads stale values.

    A rank alone writes its blocks: with a block-diagonal A the data gradient of block i never sees
    an old x_i, and only the halo of tau (I - D), of constant 2 tau, does. So this update's own
    delay multiplies 2 tau alone. Where A couples the blocks, the update moves together with as many
    others as its delay counts, and A restricted to n blocks has a squared norm of at most the sum
    of theirs, and of at most ||A||^2, ``coupling``. A local A that looks into other blocks has that
    of the whole A for its L already; that is enough where it does not look beyond the next block.
    Where it does, and x there came from another host, one update older still, iterates of the data
    term alone grew in simulations: ``reach`` is the share of L_i, 0 or 1, that the delay multiplies
    too. A rule of thumb, not a theorem: ``SafeStep`` is the proven one.
    """

    def __init__(
        self,
        L: Mapping[int, float],
        *,
        tau: float,
        b: int,
        coupling: float = 0.0,
        reach: float = 0.0,
    ) -> None:
        self._L, self._tau, self._root_b = L, tau, np.sqrt(b)
        self._coupling, self._reach = coupling, reach

    def __call__(self, i: int, delay: int) -> float:
        """Return 2 RELAXATION / (L_i + 2 tau + (reach L_i + 2 tau) 2 delay / sqrt(b)).

        With max(L_i, min((1 + delay) L_i, coupling)) in place of the first L_i.
        """
        L = max(self._L[i], min((1 + delay) * self._L[i], self._coupling))
        stale = (self._reach * self._L[i] + 2 * self._tau) * 2 * delay / self._root_b
        return float(2 * RELAXATION / (L + 2 * self._tau + stale))


class ProximalStep:
    """The step of the proximal update: 1 for one block after the other, less for many at once.

    One at a time the update of a quadratic g is block Gauss-Seidel, which converges at 1; all b at
    once it is block Jacobi, and 1 / lambda is safe, with ``spread`` = lambda the largest eigenvalue
    of P^-1 (A^T A + mu), P its diagonal blocks: 1 where blocks share no measurements, at most
    sqrt(b) in tomography and MRI where it was computed. In between the delay says how many others
    moved. A rule of thumb, under a guard.
    """

    def __init__(self, *, spread: float, b: int) -> None:
        self._more, self._others = spread - 1, max(1, b - 1)

    def __call__(self, i: int, delay: int) -> float:
        """Return 1 / (1 + (spread - 1) min(1, delay / (b - 1)))."""
        return 1 / (1 + self._more * min(1.0, delay / self._others))


class RelaxedStep:
    """Another step, halved as often as ``halvings`` says: where the objective has risen."""

    def __init__(self, step: Step, halvings: Callable[[], int]) -> None:
        self._step, self._halvings = step, halvings

    def __call__(self, i: int, delay: int) -> float:
        """Return the other step's gamma, halved."""
        return self._step(i, delay) * 0.5 ** self._halvings()


class DecayingStep:
    """Another step, divided by 1 + e / ``epochs`` at the update of a block that had e before.

    The diminishing steps of stochastic approximation (Robbins, Monro 1951): with a constant step
    minibatches bring x only near the fixed point, at a distance that grows with the step.
    ``updates`` tells e of a block.
    """

    def __init__(self, step: Step, *, epochs: float, updates: Callable[[int], int]) -> None:
        self._step, self._epochs, self._updates = step, epochs, updates

    def __call__(self, i: int, delay: int) -> float:
        """Return the other step's gamma / (1 + e / epochs)."""
        return self._step(i, delay) / (1 + self._updates(i) / self._epochs)
