"""Async-RED: Algorithms 1 (BG) and 2 (SG) of Sun, Liu, Sun, Wohlberg, Kamilov, ICLR 2021.

    x        the shared image            x_tilde  what this rank read of it, possibly stale
    G        grad g + tau (I - D)        G_i      its block i, from all measurements (BG) or a
    gamma    step size                            minibatch of them, rescaled (SG)

Every rank runs this loop on its own blocks and waits for no other. Departures from the paper:

1. A rank draws among the blocks it owns, not among all: its A_i need not travel. Ranks of unequal
   speed therefore update their blocks unequally often.
2. A read takes the window of the block (the block and the denoiser's halo), not the whole image:
   G_i depends on nothing else.
3. What the next window needs from other hosts is asked for before the denoiser runs on this one.
   That part is then older by one update of this rank, and its delay is counted from that moment.
   Which block comes next is therefore drawn one update before it is read.
4. The step may depend on the delay of the update, and decay (``asyncred.stepsize``).
5. ``EpochOrder``, the default, takes every block once an epoch where the paper draws uniformly
   (``UniformOrder``).
"""

from __future__ import annotations

from asyncred.red import RedOperator
from asyncred.sampling import Minibatch, Order
from asyncred.shared import SharedImage
from asyncred.solver import Monitor, Stop
from asyncred.stepsize import Step


def async_red(
    G: RedOperator,
    x: SharedImage,
    *,
    order: Order,
    minibatch: Minibatch,
    step: Step,
    stop: Stop,
    monitor: Monitor,
) -> None:
    """Update this rank's blocks of the shared image until ``stop`` says so."""
    i = order.next()
    x.request(i)
    while not stop():
        x_tilde = x.read(i)  # the inconsistent read (line 3)
        i_next = order.next()
        x.request(i_next)
        rows = minibatch.draw(G.A.measurements(i))  # Algorithm 2, line 4; all of them in 1
        G_i = G.block(i, x_tilde, rows)  # line 4 (5)
        delay = x.delay(i)
        gamma = step(i, delay)
        x.add(i, -gamma * G_i)  # x <- x - gamma U_i G_i(x_tilde), line 5 (6)
        monitor.record(i, x.own(i, x_tilde), G_i, gamma=gamma, delay=delay)
        i = i_next
