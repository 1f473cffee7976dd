"""The step size and the choices of a job: what its configuration means for its operators."""

from __future__ import annotations

import numpy as np

from asyncred.job import Job
from asyncred.operators import Coupled
from asyncred.sampling import EpochOrder, FullBatch, Minibatch, Order, RandomRows, UniformOrder
from asyncred.stepsize import (
    AdaptiveStep,
    DecayingStep,
    FixedStep,
    ProximalStep,
    SafeStep,
    Step,
)


def choose_step(job: Job) -> Step:
    """The step of a job, from the norms of the own blocks and of A."""
    step, decay = _constant_step(job), job.config.decay
    if decay is None:
        return step
    counts = {i: int(job.past.per_block[i]) for i in job.own}
    return DecayingStep(step, epochs=decay, updates=counts)


def _constant_step(job: Job) -> Step:
    config, A, tau, past = job.config, job.term.A, job.plan.tau, job.past
    if not isinstance(config.step, str):
        return FixedStep(config.step)
    grid, ranks = job.plan.problem.grid, job.comm.size
    if job.plan.mu is not None and config.step == "adaptive":
        b = len(grid)
        shared = np.sqrt(b) if isinstance(A, Coupled) else 2.0 if A.halo else 1.0
        return ProximalStep(spread=min(b, shared), b=b)
    b, L = len(grid), {i: A.lipschitz(i, config.minibatch) for i in job.own}
    coupling = 0.0
    if isinstance(A, Coupled):
        coupling = A.coupling(config.minibatch)
        together = {"gm": b, "sync": ranks}.get(config.method, 1)
        L = {i: min(coupling, together * L_i) for i, L_i in L.items()}
    if config.step == "safe":
        L = {i: max(coupling, L_i) for i, L_i in L.items()}
        return SafeStep(L, tau=tau, b=b, delay_bound=max(ranks - 1, past.longest_delay))
    reach = float(A.halo > min(grid.block_shape))
    return AdaptiveStep(L, tau=tau, b=b, coupling=coupling, reach=reach)


def choices(job: Job, done: int) -> tuple[Order, Minibatch]:
    """Which block comes next on this rank, and which measurements, after so many updates of it."""
    config, own = job.config, job.own
    seeds = [[config.seed, job.comm.rank, purpose] for purpose in (0, 1)]
    order = (EpochOrder if config.order == "epoch" else UniformOrder)(own, seeds[0], done)
    if config.minibatch is None:
        return order, FullBatch()
    return order, RandomRows(config.minibatch, seeds[1], done)
