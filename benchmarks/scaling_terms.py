"""What the model of ``scaling_model`` is told and what it tells: work, network, layout, outcome.

Seconds and bytes throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Work:
    """What a rank does by itself."""

    update: float
    """Mean time of an update that waits for nobody."""
    jitter: float = 0.0
    """Standard deviation of the logarithm of that time, which is normal."""
    crowding: float = 1.0
    """The time of an update while all cores of a host compute, relative to one alone."""
    table: float = 0.0
    """Per rank of the job, to add up what was announced; twice an update."""
    issue: float = 0.0
    """To start one message, of the many of an announcement or a sample."""
    report: float = 1.0
    """Between two samples of rank 0."""


@dataclass(frozen=True)
class Network:
    """What lies between hosts, and within one."""

    latency: float
    """One way."""
    bandwidth: float = math.inf
    serve: float = 0.0
    """Of the target, for one message."""
    poll: float = 0.0
    """Between two looks of the thread that serves on the rank's own core; 0: the adapter serves."""
    near: float = 0.0
    """A round trip within a host."""
    hop: float = 0.0
    """One of the log2(N) steps of a barrier."""


@dataclass(frozen=True)
class Layout:
    """Which rank owns which blocks, and where it runs."""

    ranks: int
    blocks: int = 1
    """Of each rank."""
    side: int = 80
    """Of a block, in pixels."""
    halo: int = 7
    per_host: int = 1
    cores: int | None = None
    """That all ranks share; None: each has its own."""

    def far_owners(self) -> NDArray[np.int64]:
        """Owners of the 8 blocks around each, [b, 8]; -1 where there is none or it is no message.

        The image is as square as b allows; its last row of blocks may be short.
        """
        b = self.ranks * self.blocks
        columns = math.isqrt(b - 1) + 1
        i = np.arange(b)
        row, column = np.divmod(i, columns)
        found = np.full((b, 8), -1)
        for k, (down, right) in enumerate(_AROUND):
            other = i + down * columns + right
            inside = (row + down >= 0) & (other < b)
            inside &= (column + right >= 0) & (column + right < columns)
            owner = other // self.blocks
            far = owner // self.per_host != i // self.blocks // self.per_host
            found[:, k] = np.where(inside & far, owner, -1)
        return found

    def sizes(self) -> list[int]:
        """Bytes of the halo in each of the 8 blocks around: four edges, four corners."""
        edge, corner = 4 * self.halo * self.side, 4 * self.halo**2
        return [corner if down and right else edge for down, right in _AROUND]


_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]


@dataclass
class Outcome:
    """What came of a run."""

    per_rank: NDArray[np.int64]
    """Updates."""
    seconds: float = 0.0
    dry: float = 0.0
    """When the last of the budget was claimed."""
    halo: float = 0.0
    """Seconds that all ranks together waited for halos; likewise the following."""
    claiming: float = 0.0
    table: float = 0.0
    claims: int = 0
    served: float = 0.0
    """Seconds that rank 0's queue was busy with claims."""
    sampled: float = 0.0
    """Seconds that rank 0 spent on samples."""

    @property
    def rate(self) -> float:
        """Updates per second."""
        return float(self.per_rank.sum() / self.seconds)


def ideal_rate(layout: Layout, work: Work, slow: Mapping[int, float]) -> float:
    """Updates per second of ranks that wait for nothing, each with a core."""
    return (layout.ranks - sum(1 - 1 / factor for factor in slow.values())) / work.update
