"""What the algorithm of a job iterates: G, or its relatives, with all that was asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncred.denoisers.onnx import Denoiser
from asyncred.grid import region_shape
from asyncred.history import Times
from asyncred.operators import Image, Operator
from asyncred.red.anchored import Anchors, Pull
from asyncred.red.bounds import BoundedRed
from asyncred.red.continuation import Continued
from asyncred.red.draft import DraftedRed
from asyncred.red.momentum import HeavyBallRed
from asyncred.red.operator import RedOperator
from asyncred.red.pace import Pace
from asyncred.runtime import windows
from asyncred.runtime.instrument import (
    SlowedDenoiser,
    SlowedOperator,
    Slowness,
    TimedAnchored,
    TimedDenoiser,
    TimedOperator,
)
from asyncred.runtime.job import Job


def direction(
    job: Job, times: Times, pace: Pace, moving: Anchors, epoch: Callable[[], float]
) -> RedOperator:
    """G, or what stands for it, with its time counted.

    With drafts, the continuation by ``epoch``, momentum, bounds, and slowness of this rank.
    """
    slowly = Slowness(dict(job.config.machine.slow).get(job.team.comm.rank, 1.0), times)
    A: Operator = TimedOperator(job.term.A, times)
    A = SlowedOperator(A, slowly) if slowly.factor > 1 else A
    length = job.config.denoiser.continuation

    def timed(D: Denoiser) -> RedOperator:
        D = Continued(D, epoch, length) if length else D
        D = TimedDenoiser(job.dressed(D), times)
        return job.operator(A, SlowedDenoiser(D, slowly) if slowly.factor > 1 else D)

    G, draft = timed(job.denoisers.main), job.denoisers.draft
    cheaper = None if draft is None else timed(draft)
    scale = job.shades[1] - job.shades[0]
    if job.anchored is not None:
        return TimedAnchored(
            G,
            cheaper,
            moving,
            pace,
            Pull(job.anchored.mu, job.anchored.momentum, job.anchored.steps, job.bounds, scale),
            times=times,
        )
    if cheaper is not None:
        G = DraftedRed(G, cheaper, pace, scale=scale)
    if job.momentum:
        G = HeavyBallRed(G, beta=job.momentum, velocity=moving.u, pace=pace)
    if job.bounds is not None:
        low, high = job.bounds
        G = BoundedRed(G, low=low, high=high, longest=job.longest_step)
    return G


def motion(job: Job, share: windows.Share) -> Anchors:
    """The momentum and the anchors of the own blocks to begin with; {} where there are none.

    Collective over the ranks of the node that share blocks.
    """
    grid, dtype = job.plan.problem.grid, job.plan.problem.data.dtype

    def still() -> dict[int, Image]:
        return {i: np.zeros(region_shape(grid.block(i)), dtype) for i in job.own}

    if job.anchored is None:
        velocity = dict(job.velocity) or still() if job.momentum else {}
        return Anchors({}, share(velocity), {})
    at = job.anchors or job.resumed or job.term.x0
    anchors = {i: np.array(at[i], dtype) for i in job.own}
    return Anchors(share(anchors), share(dict(job.velocity) or still()), share(still()))
