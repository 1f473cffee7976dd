"""Asynchronous RED with anchors: the loop of ``async_red`` for updates of two kinds.

    x, x_tilde, i   as there
    w_i, mu         the anchor of block i and the weight of it: ``asyncred.red.anchored``
    turn            the blocks that are updated by the data alone after each call of the denoiser

Departures 1 to 3 and 6 of ``async_red`` hold here too. Reads for the denoiser, and for the data
term, are of the windows that each of them needs.
"""

from __future__ import annotations

from collections.abc import Callable

from asyncred.grid import BlockWindows
from asyncred.operators import Image
from asyncred.red.anchored import AnchoredRed
from asyncred.red.sampling import Order, Turn
from asyncred.red.solver import Monitor, SharedIterate, Stop
from asyncred.red.stepsize import Step


def anchored_red(
    G: AnchoredRed,
    x: SharedIterate,
    *,
    order: Order,
    turn: Turn,
    step: Step,
    relaxed: Callable[[], float],
    stop: Stop,
    monitor: Monitor,
) -> None:
    """Move anchors, and blocks toward them, until ``stop`` says so.

    ``relaxed`` is 1, or less where steps of the anchors have to be shorter: mu is divided by it.
    """
    near = x.through(BlockWindows(G.grid, G.A.halo))

    def settle(j: int) -> tuple[Image, Image]:
        """(2), (3) for block j: the block after it, and the gradient of the data term before."""
        x_tilde = near.fresh(j)
        x_j = near.own(j, x_tilde)
        g_j = G.A.gradient(j, x_tilde, None)
        d_j = G.direction(j, x_j, g_j)
        delta = G.step(j, x_j, d_j, step(j, near.delay(j)))
        near.add(j, delta)
        G.A.moved(j, delta)
        return x_j + delta, g_j

    following = None
    while not stop():
        i = order.next() if following is None else following
        if following is None:
            x.request(i)
        x_tilde = x.read(i)
        following = order.next() if order.ahead else None
        if following is not None:
            x.request(following)
        R_i, u_i = G.anchor(i, x_tilde, relaxed())  # (1)
        delay = x.delay(i)
        x_i, g_i = settle(i)
        for j in turn.after(i):
            settle(j)
        monitor.record(i, x_i, g_i + G.tau * R_i, u_i, delay=delay)
        order.done(i)
