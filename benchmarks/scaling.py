"""How far Async-RED scales: the model against real runs, then from 1 to 100,000 ranks.

docs/explanation/scaling.md says what comes of it. Minutes of real runs, then minutes of the model.

    python benchmarks/scaling.py [--repeats R] [--largest N] [--only measured|sweep] [-o FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import scaling_measured
import scaling_plots
from common import table
from costs import CORES
from scaling_model import AsyncModel, sync_outcome
from scaling_terms import Layout, Network, Outcome, Work, ideal_rate

PER_HOST = 64
PORT = 25e9
"""Bytes per second of a host: 200 Gb/s."""

# Of a table entry and of one of many messages: as measured here. 20 ms: 80x80 with fast-s5 on a
# core; 2 ms: a core ten times as fast, or a tenth of a GPU.
WORK = Work(0.02, 0.1, table=4e-10, issue=6e-7)
QUICK = replace(WORK, update=0.002)

ADAPTER = Network(1.5e-6, PORT / PER_HOST, serve=1e-7, near=5e-6, hop=2e-6)
"""The network adapter applies sums and reads by itself."""

THREAD = replace(ADAPTER, serve=1e-6, poll=1e-3)
"""The progress thread does, which looks every millisecond, on the core of its rank."""

RANKS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 100_000)
JITTERS = (0.02, 0.1, 0.3)
UPDATES = 64
"""Of each rank, at least: two claims of 32 and the end of the budget."""

OF_ALL = 4096
"""Of all ranks, at least, so that few of them average their jitter out too."""

SIDES = (16, 24, 32, 48, 64, 96, 128, 192)
STRAGGLERS = ((0.01, 4.0), (0.01, 10.0), (0.1, 4.0), (0.1, 10.0))
LONG = 400
"""Updates of each rank in a run with stragglers."""


@dataclass(frozen=True)
class Point:
    """One run of the model, and what it is called."""

    name: str
    layout: Layout
    work: Work
    network: Network
    updates: int = UPDATES
    slow: Mapping[int, float] | None = None

    def outcome(self) -> Outcome:
        """Of Async-RED."""
        budget, rng = self.updates * self.layout.ranks, np.random.default_rng(0)
        model = AsyncModel(
            self.layout, self.work, self.network, updates=budget, rng=rng, slow=self.slow
        )
        return model.run()

    def sync(self) -> Outcome:
        """Of Sync-RED."""
        rng = np.random.default_rng(0)
        return sync_outcome(
            self.layout, self.work, self.network, rounds=self.updates, rng=rng, slow=self.slow
        )

    def efficiency(self, found: Outcome) -> float:
        """Updates per second over those of ranks that wait for nothing."""
        return found.rate / ideal_rate(self.layout, self.work, self.slow or {})


Found = Sequence[tuple[Point, Outcome]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=RANKS[-1])
    parser.add_argument("--only", choices=("measured", "sweep"))
    folder = Path(__file__).resolve().parents[1] / "docs"
    parser.add_argument("-o", "--output", type=Path, default=folder, help="of the pictures")
    options = parser.parse_args()
    if options.only != "sweep":
        turns = list(scaling_measured.turns(options.repeats))
        print(table(["input", "median"], scaling_measured.inputs(turns)), end="\n\n")
        print(table(scaling_measured.HEAD, scaling_measured.rows(turns)), end="\n\n", flush=True)
    if options.only != "measured":
        sweep([n for n in RANKS if n <= options.largest], options.output)


def sweep(ranks: Sequence[int], folder: Path) -> None:
    """Run the model and tell of it."""
    with ProcessPoolExecutor(CORES) as pool:  # the large ones first
        runs = list(pool.map(Point.outcome, points := weak(ranks[::-1])))
        weakly = list(zip(points, runs, strict=True))[::-1]
        others = blocks() + stragglers()
        rest = list(zip(others, pool.map(Point.outcome, others), strict=True))
    tell(weakly, rest, folder)


def tell(weakly: Found, rest: Found, folder: Path) -> None:
    """The tables and pictures of the model."""
    efficiency = by_ranks(weakly)
    head = ["ranks", *(name for name in NAMES), *(f"sync, {s:.0%}" for s in JITTERS)]
    print(table(head, [[n, *(f"{e:.3f}" for e in line)] for n, line in efficiency.items()]), "\n")
    print(table(SHARES_HEAD, shares(weakly)), "\n")
    halos = halo_shares(rest)
    head = ["block", "update, ms", "denoiser's work on the halo", "waiting: thread", "adapter"]
    lines = [[f"{s}x{s}", f"{1e3 * t:.2f}", *(f"{e:.1%}" for e in line)] for s, t, *line in halos]
    print(table(head, lines), "\n")
    print(table(STRAGGLER_HEAD, straggler_rows(rest)))
    scaling_plots.efficiency(folder / "scaling.png", head_of(efficiency), efficiency)
    scaling_plots.halos(folder / "scaling_halo.png", halos)


NAMES = ("thread, 20 ms", "adapter, 20 ms", "thread, 2 ms", "adapter, 2 ms")


def head_of(efficiency: Mapping[int, Sequence[float]]) -> list[str]:
    """What the columns of ``by_ranks`` are."""
    return [f"async, {name}" for name in NAMES] + [f"sync, 20 ms, jitter {s:.0%}" for s in JITTERS]


def weak(ranks: Sequence[int]) -> list[Point]:
    """One block a rank, by what serves the messages and by the time of an update."""
    settings = [(THREAD, WORK), (ADAPTER, WORK), (THREAD, QUICK), (ADAPTER, QUICK)]
    return [
        Point(name, Layout(n, per_host=PER_HOST), work, network, max(UPDATES, OF_ALL // n))
        for n in ranks
        for name, (network, work) in zip(NAMES, settings, strict=True)
    ]


def by_ranks(weakly: Found) -> dict[int, list[float]]:
    """Efficiency of Async-RED in each setting, and of Sync-RED at each jitter."""
    lines: dict[int, dict[str, float]] = {}
    for point, found in weakly:
        lines.setdefault(point.layout.ranks, {})[point.name] = point.efficiency(found)
    result = {}
    for n, line in lines.items():
        layout, rounds = Layout(n, per_host=PER_HOST), max(UPDATES, OF_ALL // n)
        points = [Point("", layout, replace(WORK, jitter=s), ADAPTER, rounds) for s in JITTERS]
        result[n] = [line[name] for name in NAMES]
        result[n] += [point.efficiency(point.sync()) for point in points]
    return result


SHARES_HEAD = ["ranks", "setting", "claims/s", "counter busy", "claiming", "table", "halos"]
SHARES_HEAD += ["rank 0 samples", "lost, updates"]

LARGE = 1000
"""Ranks from which on it is told where the time goes; below little is lost."""


def shares(weakly: Found) -> list[list[str]]:
    """Where the time of many ranks goes: counter and samples are of rank 0, the others of all.

    What is lost is the length of the run beyond the ideal one, in updates of a rank.
    """
    lines = []
    for point, found in sorted(weakly, key=lambda item: (item[0].name, item[0].layout.ranks)):
        n, all_time = point.layout.ranks, point.layout.ranks * found.seconds
        if n < LARGE:
            continue
        parts = [found.served / found.seconds, found.claiming / all_time, found.table / all_time]
        parts += [found.halo / all_time]
        # A run shorter than a report has no sample; what each takes is known.
        sample = point.work.issue * n
        lost = found.seconds / point.work.update - point.updates
        line = [n, point.name, f"{found.claims / found.seconds:.0f}"]
        line += [f"{part:.2%}" for part in parts]
        lines.append([*map(str, line), f"{sample / (point.work.report + sample):.2%}"])
        lines[-1].append(f"{lost:.1f}")
    return lines


def blocks() -> list[Point]:
    """Blocks of several sizes; an update takes as long as the denoiser's window is large."""
    found = []
    for side in SIDES:
        work = replace(QUICK, update=QUICK.update * ((side + 14) / 94) ** 2)
        layout = Layout(1024, side=side, per_host=PER_HOST)
        found += [Point("halo", layout, work, network) for network in (THREAD, ADAPTER)]
    return found


def halo_shares(rest: Found) -> list[tuple[int, float, float, float, float]]:
    """By side: an update, the share of it that the window's margin takes, the shares waited."""
    waits: dict[int, list[float]] = {}
    times = {}
    for point, found in rest:
        if point.name == "halo":
            side, n = point.layout.side, point.layout.ranks
            waits.setdefault(side, []).append(found.halo / (n * found.seconds))
            times[side] = point.work.update
    return [(s, times[s], 1 - (s / (s + 14)) ** 2, *waited) for s, waited in waits.items()]


def stragglers() -> list[Point]:
    """Some of 1024 ranks slower than the others."""
    layout, rng = Layout(1024, per_host=PER_HOST), np.random.default_rng(1)
    order = rng.permutation(layout.ranks)
    return [
        Point(
            f"{share:.0%} of ranks {factor:g}x slower",
            layout,
            WORK,
            THREAD,
            updates=LONG,
            slow={int(k): factor for k in order[: round(share * layout.ranks)]},
        )
        for share, factor in STRAGGLERS
    ]


STRAGGLER_HEAD = ["stragglers", "ideal", "async", "sync", "updates of a slow rank / mean"]
STRAGGLER_HEAD += ["end without claims, updates"]


def straggler_rows(rest: Found) -> list[list[str]]:
    """Updates per second, of those of equal ranks; how far behind the slow ones are."""
    lines = []
    for point, found in rest:
        if point.slow:
            equal = ideal_rate(point.layout, point.work, {})
            rates = [ideal_rate(point.layout, point.work, point.slow), found.rate]
            rates += [point.sync().rate]
            behind = found.per_rank[list(point.slow)].mean() / found.per_rank.mean()
            after = (found.seconds - found.dry) / point.work.update
            lines.append([point.name, *(f"{value / equal:.3f}" for value in rates)])
            lines[-1] += [f"{behind:.2f}", f"{after:.0f}"]
    return lines


if __name__ == "__main__":
    main()
