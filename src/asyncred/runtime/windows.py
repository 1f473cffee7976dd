"""What ranks share: RMA windows, or plain memory where there is one rank.

This is the only place that chooses between ``asyncred.shared`` and ``asyncred.runtime.alone``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from asyncred.grid import BlockWindows
from asyncred.operators import ForwardModel, Image
from asyncred.red.serial_red import LocalImage
from asyncred.runtime.alone import AloneCounters, AloneQueue, AloneResidual
from asyncred.runtime.comm import Alone, Comm

if TYPE_CHECKING:
    from asyncred.shared import Claims, Counters, Queue, SharedImage, SharedResidual

    AnyCounters: TypeAlias = "Counters | AloneCounters"
    AnyImage: TypeAlias = "SharedImage | LocalImage"
    AnyQueue: TypeAlias = "Queue | AloneQueue"
    AnyResidual: TypeAlias = "SharedResidual | AloneResidual"

Share = Callable[[dict[int, Any]], Mapping[int, Any]]
"""Own arrays by block in, those of all ranks of the node out."""


def counters(stack: ExitStack, comm: Comm, *, sums: int) -> AnyCounters:
    """Budget, stop flag, updates and running sums of all ranks, for the life of the stack.

    Collective over comm.
    """
    if isinstance(comm, Alone) or comm.size == 1:
        return AloneCounters(comm, sums=sums)
    from asyncred.shared import Counters

    return stack.enter_context(Counters(comm, sums=sums))


def queue(stack: ExitStack, comm: Comm) -> AnyQueue:
    """Which image is next, and whether to stop, for the life of the stack. Collective."""
    if isinstance(comm, Alone) or comm.size == 1:
        return AloneQueue()
    from asyncred.shared import Queue

    return stack.enter_context(Queue(comm))


def residual(
    stack: ExitStack, comm: Comm, model: ForwardModel, far: Collection[int]
) -> AnyResidual:
    """r = A x - y, 0 at first, for the life of the stack. Collective over comm."""
    if isinstance(comm, Alone) or comm.size == 1:
        return AloneResidual(comm, model)
    from asyncred.shared import SharedResidual

    return stack.enter_context(SharedResidual(comm, model, far=far))


def image(
    counters: AnyCounters,
    windows: BlockWindows,
    owner: Sequence[int],
    *,
    x0: Mapping[int, Image],
    dtype: type[np.generic],
    far: Collection[int],
) -> AbstractContextManager[AnyImage]:
    """x, from the own blocks of its start. Collective over the ranks of ``counters``."""
    if isinstance(counters, AloneCounters):
        whole = np.zeros(windows.grid.shape, dtype)
        for i, block in x0.items():
            whole[windows.grid.block(i)] = block
        return nullcontext(LocalImage(windows, whole, announce=counters.announce))
    from asyncred.shared import SharedImage

    return SharedImage(
        counters.comm,
        windows,
        owner,
        x0=x0.__getitem__,
        dtype=dtype,
        counters=counters,
        far=far,
    )


def claims(node: Comm | None, updates: Mapping[int, int]) -> AbstractContextManager[Claims | None]:
    """Who works on which block, where ranks update each other's. Collective over node."""
    if node is None or isinstance(node, Alone):
        return nullcontext()
    from asyncred.shared import Claims

    return Claims(node, updates)


def sharing(node: Comm | None, stack: ExitStack) -> Share:
    """What shares arrays among the ranks of a node for the life of ``stack``.

    Without a node the own ones are all there is. What it returns is collective over ``node``.
    """
    if node is None or isinstance(node, Alone):
        return lambda own: own
    from asyncred.shared import sharing

    return sharing(node, stack)


def check_room(node: Comm | None, size: int) -> None:
    """Whether the ranks of a node can share ``size`` bytes each. Collective. Raises ValueError."""
    if node is None or isinstance(node, Alone):
        return
    from asyncred.shared import check_room

    check_room(node, size)


def progress_thread(comm: Comm, wanted: bool) -> AbstractContextManager[object]:
    """A thread that answers other hosts while this rank computes. Collective over comm."""
    if isinstance(comm, Alone) or not wanted:
        return nullcontext()
    from asyncred.shared import ProgressThread

    return ProgressThread(comm)
