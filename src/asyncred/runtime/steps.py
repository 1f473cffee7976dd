"""The step size and the choices of a job: what its configuration means for its operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from asyncred.operators import Coupled
from asyncred.red.sampling import (
    EpochOrder,
    FullBatch,
    LeastUpdated,
    Minibatch,
    Order,
    OwnTurn,
    RandomRows,
    SharedTurn,
    Turn,
    UniformOrder,
)
from asyncred.red.stepsize import (
    AdaptiveStep,
    DecayingStep,
    FixedStep,
    ProximalStep,
    RelaxedStep,
    SafeStep,
    Step,
)
from asyncred.runtime.job import Job

if TYPE_CHECKING:
    from asyncred.shared import Claims


def choose_step(job: Job, updates: Callable[[int], int], halvings: Callable[[], int]) -> Step:
    """The step of a job, from the norms of A and of the blocks this rank updates.

    ``updates`` tells how often a block was updated so far, ``halvings`` how often a rise of the
    objective, where the denoiser tells it, has asked for a shorter step. Anchored updates take
    shorter steps of the anchors instead. Collective.
    """
    step, decay = _constant_step(job), job.config.update.decay
    if job.potentials is not None and job.anchored is None:
        step = RelaxedStep(step, halvings)
    if decay is None:
        return step
    return DecayingStep(step, epochs=decay, updates=updates)


def _constant_step(job: Job) -> Step:
    config, A, tau, past = job.config, job.term.A, job.plan.tau, job.past
    if not isinstance(config.update.step, str):
        return FixedStep(config.update.step)
    grid, ranks = job.plan.problem.grid, job.team.comm.size
    if job.plan.proximal and config.update.step == "adaptive":
        b = len(grid)
        shared = np.sqrt(b) if isinstance(A, Coupled) else 2.0 if A.halo else 1.0
        return ProximalStep(spread=min(b, shared), b=b)
    b, L = len(grid), _norms(job)
    coupling = 0.0
    if isinstance(A, Coupled):
        coupling = A.coupling(config.update.minibatch)
        together = {"gm": b, "sync": ranks}.get(config.update.method, 1)
        L = {i: min(coupling, together * L_i) for i, L_i in L.items()}
    if config.update.step == "safe":
        L = {i: max(coupling, L_i) for i, L_i in L.items()}
        return SafeStep(L, tau=tau, b=b, delay_bound=max(ranks - 1, past.longest_delay))
    reach = float(A.halo > min(grid.block_shape))
    return AdaptiveStep(L, tau=tau, b=b, coupling=coupling, reach=reach)


def _norms(job: Job) -> dict[int, float]:
    """L_i of the blocks this rank updates; each rank finds its own."""
    own = {i: job.term.A.lipschitz(i, job.config.update.minibatch) for i in job.own}
    parts = [own] if job.team.node is None else job.team.node.allgather(own)
    return {i: L_i for part in parts for i, L_i in part.items()}


def choose_turn(job: Job, claims: Claims | None, done: int) -> Turn:
    """The blocks that are updated by the data term alone, after so many updates of this rank."""
    assert job.anchored is not None and job.anchored.rounds is not None
    rounds, own = job.anchored.rounds, job.own
    if claims is None:
        return OwnTurn(own, rounds, done)
    return SharedTurn(claims, rounds, claims.blocks.index(own[0]), done)


def choices(job: Job, claims: Claims | None, done: int) -> tuple[Order, Minibatch]:
    """Which block comes next on this rank, and which measurements, after so many updates of it."""
    config, own = job.config, job.own
    seeds = [[config.update.seed, job.team.comm.rank, purpose] for purpose in (0, 1)]
    if claims is not None:
        order: Order = LeastUpdated(claims, own, seeds[0], done)
    else:
        order = (EpochOrder if config.update.order == "epoch" else UniformOrder)(
            own, seeds[0], done
        )
    if config.update.minibatch is None:
        return order, FullBatch()
    return order, RandomRows(config.update.minibatch, seeds[1], done)
