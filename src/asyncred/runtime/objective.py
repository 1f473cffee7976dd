"""The objective F at an image that nobody updates meanwhile, exactly.

What a run says of F on its way adds up terms of different moments: p of each block as of its last
call of the denoiser, and a residual that has gone on since. While x moves fast that can be lower
than F ever was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from asyncred.operators import Image
from asyncred.red.operator import RedOperator
from asyncred.runtime.fit import Fit
from asyncred.runtime.job import Job

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyImage


def objective(job: Job, x: AnyImage, blocks: Mapping[int, Image]) -> float:
    """F where the own ``blocks`` are x, which holds them afterwards. Collective."""
    comm, coupling, tau = job.team.comm, job.term.coupling, job.plan.tau
    for i, block in blocks.items():
        x.add(i, block - x.block(i))
    comm.Barrier()
    if coupling is not None:
        coupling.refresh(blocks)
    potentials: dict[int, float] = {}
    G = RedOperator(job.plan.problem.grid, job.term.A, job.dressed(job.denoisers.main), tau=tau)
    G.potentials = potentials
    fit = Fit(G.A, coupling, tau=tau, potentials=potentials, minibatch=False)
    squares, own = 0.0, 0.0
    for i in blocks:
        G.block(i, x.fresh(i))
        square, p = fit.of_block(i)
        squares, own = squares + square, own + p
    weight = coupling.weight if coupling is not None else 1.0
    return float(comm.allreduce(own + weight / 2 * fit.of_rank(squares)))
