"""Async-RED: Algorithms 1 (BG) and 2 (SG) of Sun, Liu, Sun, Wohlberg, Kamilov, ICLR 2021.

    x        the shared image            x_tilde  what this rank read of it, possibly stale
    G        grad g + tau (I - D)        G_i      its block i, from all measurements (BG) or a
    gamma    step size                            minibatch of them, rescaled (SG)

Every rank runs this loop on its own blocks and waits for no other. Departures from the paper:

1. A rank draws among the blocks it owns, not among all: its A_i need not travel. Ranks of unequal
   speed therefore update their blocks unequally often. With ``LeastUpdated`` it draws among the
   blocks of its node, whose A_i are in common memory: it claims a block that no other rank works
   on, and gives it back once updated. Then a slow rank costs its own share only.
2. A read takes the window of the block (the block and the denoiser's halo), not the whole image:
   G_i depends on nothing else.
3. What the next window needs from other hosts is asked for before the denoiser runs on this one.
   That part is then older by one update of this rank, and its delay is counted from that moment.
   Which block comes next, and which measurements, is therefore drawn one update before; not so
   where blocks are claimed, as a slow rank would keep two from the others.
4. The step may depend on the delay of the update, and decay (``asyncred.red.stepsize``).
5. ``EpochOrder``, the default, takes every block once an epoch where the paper draws uniformly
   (``UniformOrder``).
6. Where A couples the blocks, G_i comes from the residual r = A x - y, which all ranks share too
   and ``moved`` keeps up with x: r <- r - gamma A_i G_i. It is read inconsistently as x is.
"""

from __future__ import annotations

from asyncred.operators import Rows
from asyncred.red.operator import RedOperator
from asyncred.red.sampling import Minibatch, Order
from asyncred.red.solver import Monitor, SharedIterate, Stop
from asyncred.red.stepsize import Step


def async_red(
    G: RedOperator,
    x: SharedIterate,
    *,
    order: Order,
    minibatch: Minibatch,
    step: Step,
    stop: Stop,
    monitor: Monitor,
) -> None:
    """Update blocks of the shared image until ``stop`` says so."""

    def draw() -> tuple[int, Rows | None]:
        """The next block and its measurements; other hosts are asked for what it needs of them."""
        i = order.next()
        rows = minibatch.draw(G.A.measurements(i))  # Algorithm 2, line 4; all of them in 1
        x.request(i)
        G.A.request(i, rows)
        return i, rows

    following = None
    while not stop():
        i, rows = following or draw()
        x_tilde = x.read(i)  # the inconsistent read (line 3)
        following = draw() if order.ahead else None
        G_i = G.block(i, x_tilde, rows)  # line 4 (5)
        delay = x.delay(i)
        delta = -step(i, delay) * G_i
        x.add(i, delta)  # x <- x - gamma U_i G_i(x_tilde), line 5 (6)
        G.A.moved(i, delta)
        monitor.record(i, x.own(i, x_tilde) + delta, G_i, delta, delay=delay)
        order.done(i)
