"""One-sided communication: what all ranks share. The only RMA code.

What holds for all windows:

- ``Win.Allocate`` and one ``Lock_all`` for the window's life.
- What the ranks of one node write in turn, or only read, they may share as plain memory
  (``NodeArrays``, by ``Win.Allocate_shared``); who writes when is then agreed by ``Claims``.
- Concurrent access is by ``Accumulate`` and ``Get_accumulate`` alone, atomic per element. A block
  may be read half old and half new: the inconsistent read of the Async-RED paper.
- No call waits for a rank that computes, provided the target makes progress: inside one node it
  always does; across hosts it does while a ``ProgressThread`` runs there.
- The buffers of a pending operation live until it is flushed.
"""

from asyncred.shared.claims import Claims
from asyncred.shared.counters import Counters
from asyncred.shared.image import SharedImage
from asyncred.shared.node import NodeArrays, Share, check_room, sharing
from asyncred.shared.progress import ProgressThread
from asyncred.shared.queue import Queue
from asyncred.shared.residual import SharedResidual

__all__ = [
    "Claims",
    "Counters",
    "NodeArrays",
    "ProgressThread",
    "Queue",
    "Share",
    "SharedImage",
    "SharedResidual",
    "check_room",
    "sharing",
]
