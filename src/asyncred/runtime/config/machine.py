"""Parameters of a run: ranks, threads, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

from asyncred.runtime.config import checks
from asyncred.runtime.config.declare import parameter


@dataclass(frozen=True)
class MachineConfig:
    """Ranks, threads and what they say."""

    threads: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "threads of each rank",
        section="machine",
        metavar="COUNT",
        default=None,
        shown="its share of the node's cores",
    )
    ranks_per_image: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "how many ranks share one image of a stack, while others work on other images",
        section="machine",
        metavar="COUNT",
        default=None,
        shown="from the sizes",
    )
    steal: str = parameter(
        checks.Choice("on", "off"),
        "whether a rank may update blocks that other ranks of its node own",
        section="machine",
        default="off",
    )
    progress_thread: str = parameter(
        checks.Choice("auto", "on", "off"),
        "whether a thread answers other hosts while its rank computes",
        section="machine",
        default="auto",
        shown="auto: on if there are several hosts",
    )
    report: float = parameter(
        checks.number("seconds > 0", open_low=True),
        "seconds between two samples of the history",
        section="expert",
        metavar="SECONDS",
        default=1.0,
        shown="1",
    )
    slow: tuple[tuple[int, float], ...] = parameter(
        checks.slow,
        "make a rank slower by this factor, to see what that does; may be given several times",
        section="expert",
        metavar="RANK:FACTOR",
        default=(),
        shown="",
    )
