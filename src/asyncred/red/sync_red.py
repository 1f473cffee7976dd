"""Sync-RED: one block per rank at a time, all from the same x, then a barrier.

The synchronous baseline of Async-RED (Sun et al. 2021, section 4): it takes the arguments of
``async_red`` and differs only in its waiting.
"""

from __future__ import annotations

from asyncred.red.operator import RedOperator
from asyncred.red.sampling import Minibatch, Order
from asyncred.red.solver import Monitor, SharedIterate, Stop
from asyncred.red.stepsize import Step


def sync_red(
    G: RedOperator,
    x: SharedIterate,
    *,
    order: Order,
    minibatch: Minibatch,
    step: Step,
    stop: Stop,
    monitor: Monitor,
) -> None:
    """Update in rounds until ``stop``, which must answer the same on every rank, says so.

    Collective over the ranks of x.
    """
    while not stop():
        i = order.next()
        x_tilde = x.fresh(i)
        G_i = G.block(i, x_tilde, minibatch.draw(G.A.measurements(i)))
        x.barrier()  # everybody has read
        delta = -step(i, 0) * G_i
        x.add(i, delta)
        G.A.moved(i, delta)
        x.barrier()  # everybody has written
        monitor.record(i, x.own(i, x_tilde) + delta, G_i, delta, delay=0)
