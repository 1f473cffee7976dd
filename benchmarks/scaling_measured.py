"""The model of ``scaling_model`` against real runs: of 1 to 4 ranks, and of up to 16 that sleep.

Costs and runs are measured in turn, so that what else the machine does touches both; the model gets
the costs of a turn and is compared with the runs of the same turn. Ranks that sleep instead of
computing (``sleeping.py``) need no core each: they test what lies between the updates.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common import call, mpirun, rate, reconstruct
from costs import CORES, HOSTS, SIZE, Costs, can_emulate_hosts, measure, on_hosts, problems
from scaling_model import AsyncModel, sync_outcome
from scaling_terms import Layout, Outcome

UPDATES = 120
"""Of each rank."""

SEEDS = 5
FACTOR = 4.0
SLEEP, JITTER = 0.02, 0.1
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """A real run that the model is to foretell."""

    ranks: int
    hosts: int = 1
    slow: bool = False
    """Whether rank 1 is made four times slower."""
    method: str = "async"

    def __str__(self) -> str:
        slow = f", one {FACTOR:g}x slower" if self.slow else ""
        return f"{self.method}, {self.ranks} on {self.hosts} host{'s' * (self.hosts > 1)}{slow}"

    def pair(self, costs: Costs, problem: Path) -> tuple[float, float]:
        """Updates per second of a real run and of the model."""
        return self._measured(problem), self._modelled(costs)

    def _measured(self, problem: Path) -> float:
        flags = ["--updates", str(UPDATES * self.ranks), "--threads", "1", "--method", self.method]
        flags += ["--update", "gradient"]  # of both methods
        flags += ["--slow", f"1:{FACTOR:g}"] if self.slow else []
        start = on_hosts(self.ranks) if self.hosts > 1 else (mpirun(), "-n", str(self.ranks))
        return rate(reconstruct(self.ranks, problem, *flags, launcher=start))

    def _modelled(self, costs: Costs) -> float:
        found = [self._outcome(costs, np.random.default_rng(seed)).rate for seed in range(SEEDS)]
        return float(np.mean(found))

    def _outcome(self, costs: Costs, rng: np.random.Generator) -> Outcome:
        blocks = (SIZE // 80) ** 2 // self.ranks
        layout = Layout(self.ranks, blocks, per_host=self.ranks // self.hosts, cores=CORES)
        slow = {1: FACTOR} if self.slow else {}
        work, network = costs.work, costs.one_host
        if self.hosts > 1:
            assert costs.two_hosts is not None
            network = costs.two_hosts
            work = replace(work, update=work.update * costs.thread)
        if self.method == "sync":
            work = replace(work, update=work.update * work.crowding)
            return sync_outcome(layout, work, network, rounds=UPDATES, slow=slow, rng=rng)
        updates = UPDATES * self.ranks
        return AsyncModel(layout, work, network, updates=updates, slow=slow, rng=rng).run()


@dataclass(frozen=True)
class Sleepers:
    """The same of ranks that sleep."""

    ranks: int
    hosts: int = 1
    slow: bool = False

    def __str__(self) -> str:
        slow = f", one {FACTOR:g}x slower" if self.slow else ""
        return f"asleep, {self.ranks} on {self.hosts} host{'s' * (self.hosts > 1)}{slow}"

    def pair(self, costs: Costs, problem: Path) -> tuple[float, float]:
        """Updates per second of a real run and of the model, which is told what one rank takes."""
        _, rest = Sleepers(1).measured()
        real, _ = self.measured()
        updates, per_host = UPDATES * self.ranks, self.ranks // self.hosts
        work = replace(costs.work, update=SLEEP + rest, jitter=JITTER)
        network = costs.one_host if self.hosts == 1 else costs.two_hosts
        assert network is not None
        rates = [
            AsyncModel(
                Layout(self.ranks, per_host=per_host),
                work,
                network,
                updates=updates,
                slow={1: FACTOR} if self.slow else {},
                rng=np.random.default_rng(seed),
            ).run()
            for seed in range(SEEDS)
        ]
        return real, float(np.mean([found.rate for found in rates]))

    def measured(self) -> tuple[float, float]:
        """Updates per second; what an update of a rank took beyond what it was to sleep."""
        start = on_hosts(self.ranks) if self.hosts > 1 else (mpirun(), "-n", str(self.ranks))
        words = (SLEEP, JITTER, UPDATES * self.ranks, FACTOR if self.slow else 1.0)
        out = call(*start, sys.executable, HERE / "sleeping.py", *map(str, words))
        found = json.loads(out.splitlines()[-1])
        return found["rate"], self.ranks / found["rate"] - SLEEP


Pairs = dict[Case | Sleepers, tuple[float, float]]
"""Updates per second, real and of the model."""


def cases() -> list[Case | Sleepers]:
    """Those that this machine can run; synchronous ranks need a core each."""
    one = [Case(1), Case(2), Case(3), Case(4), Case(2, slow=True), Case(4, slow=True)]
    one += [Case(2, method="sync"), Case(2, method="sync", slow=True)] if CORES > 1 else []
    two = [Case(2, 2), Case(4, 2), Case(2, 2, slow=True)]
    asleep = [Sleepers(4), Sleepers(16), Sleepers(16, slow=True)]
    asleep_two = [Sleepers(4, 2), Sleepers(16, 2), Sleepers(16, 2, slow=True)]
    return [*one, *asleep, *([*two, *asleep_two] if can_emulate_hosts() else [])]


def turns(repeats: int) -> Iterator[tuple[Costs, Pairs]]:
    """Costs and updates per second, one turn after the other."""
    with tempfile.TemporaryDirectory() as folder:
        paths = problems(Path(folder))
        for _ in range(repeats):
            costs = measure(paths)
            found: Pairs = {}
            if can_emulate_hosts():
                call(HOSTS, "up")
            try:
                for case in cases():
                    found[case] = case.pair(costs, paths[0])
            finally:
                if can_emulate_hosts():
                    call(HOSTS, "down")
            yield costs, found


def rows(measured: Sequence[tuple[Costs, Pairs]]) -> list[list[str]]:
    """Each case: updates per second, of the model, the error; medians over the turns, and range."""
    lines = []
    for case in measured[0][1]:
        real, model = np.array([found[case] for _, found in measured]).T
        error = 100 * (model / real - 1)
        far = f"{min(error):+.0f} to {max(error):+.0f} %"
        values = (f"{np.median(real):.1f}", f"{np.median(model):.1f}")
        lines.append([str(case), *values, f"{np.median(error):+.0f} %", far])
    return lines


HEAD = ["run", "updates/s", "of the model", "error, median", "range"]


def inputs(measured: Sequence[tuple[Costs, Pairs]]) -> list[list[str]]:
    """The medians of the costs, as a table."""
    all_costs = [costs for costs, _ in measured]
    far = [costs.two_hosts for costs in all_costs if costs.two_hosts is not None]
    columns = {
        "update, ms": [1e3 * c.work.update for c in all_costs],
        "of it the denoiser, ms": [1e3 * c.denoiser for c in all_costs],
        "jitter, %": [100 * c.work.jitter for c in all_costs],
        f"{CORES} at once, times": [c.work.crowding for c in all_costs],
        "with progress thread, times": [c.thread for c in all_costs],
        "table, ns a rank": [1e9 * c.work.table for c in all_costs],
        "one of many messages, us": [1e6 * c.work.issue for c in all_costs],
        "round trip, one host, us": [1e6 * c.one_host.near for c in all_costs],
        "barrier, one host, us": [1e6 * c.one_host.hop for c in all_costs],
        "latency, two hosts, us": [1e6 * n.latency for n in far],
        "period of the thread, ms": [1e3 * n.poll for n in far],
        "served, two hosts, us": [1e6 * n.serve for n in far],
        "bandwidth, two hosts, MB/s": [1e-6 * n.bandwidth for n in far],
    }
    return [[name, f"{np.median(column):.3g}"] for name, column in columns.items() if column]
