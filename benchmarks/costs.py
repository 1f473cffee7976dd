"""What an update and a message cost on this machine, for ``scaling_model``: short real runs.

An update and its jitter are those of a job of one rank that samples every update; crowding is what
as many such jobs as there are cores, at once, do to it. Messages are those of ``messages.py``, on
one host and, for root with iproute2, on two emulated ones.

    python benchmarks/costs.py [-o costs.json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asyncred.files.result import Result
from common import call, mpirun, reconstruct, simulate
from scaling_terms import Network, Work

HERE = Path(__file__).resolve().parent
HOSTS = HERE.parent / "tests" / "hosts" / "hosts.sh"
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CORES = len(os.sched_getaffinity(0))
SIZE = 480
"""Of the image, in pixels: 36 blocks of 80x80, which 1 to 4 ranks share equally."""


@dataclass(frozen=True)
class Costs:
    """The inputs of the model, as measured, in seconds."""

    work: Work
    one_host: Network
    two_hosts: Network | None
    """None where this machine cannot emulate them."""
    denoiser: float
    """Of the update, inside the denoiser."""
    thread: float
    """The time of an update beside the progress thread, relative to one without."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("costs.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(problems(Path(folder)))
    options.output.write_text(json.dumps(asdict(costs), indent=1) + "\n")
    print(json.dumps(asdict(costs), indent=1))


def problems(folder: Path) -> list[Path]:
    """The same inpainting problem once a core, in folders of their own, as results lie beside."""
    first = simulate(folder / "problem.h5", "--size", str(SIZE), kind="inpaint")
    paths = [first]
    for k in range(1, CORES):
        (folder / str(k)).mkdir()
        paths.append(Path(shutil.copy(first, folder / str(k))))
    return paths


def on_hosts(ranks: int) -> tuple[str | Path, ...]:
    """What starts a job on both emulated hosts, in equal parts."""
    start = (HOSTS, "on", ADDRESSES[0], mpirun(), "-launcher", "ssh", "-launcher-exec", HOSTS)
    return (*start, "-hosts", ",".join(ADDRESSES), "-ppn", str(ranks // 2), "-n", str(ranks))


def can_emulate_hosts() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


def measure(paths: Sequence[Path], *, updates: int = 160) -> Costs:
    """All of it once; a minute or so."""
    flags = ("--updates", str(updates), "--threads", "1", "--update", "gradient")
    times = [_times(reconstruct(1, paths[0], *flags, "--report", "1e-9"))]
    times.append(_times(reconstruct(1, paths[0], *flags, "--progress-thread", "on")))
    with ThreadPoolExecutor(len(paths)) as pool:
        together = list(pool.map(lambda path: _times(reconstruct(1, path, *flags)), paths))
    near = _messages((mpirun(), "-n", "2"), "off")
    alone, jitter, denoiser = times[0]
    work = Work(
        alone,
        jitter,
        crowding=max(1.0, float(np.mean([update for update, _, _ in together])) / alone),
        table=near["table"],
        issue=near["each"],
    )
    one = Network(0.0, near=near["claim"] / 2, hop=near["barrier"])
    return Costs(work, one, _between(one), denoiser, max(1.0, times[1][0] / alone))


def _times(result: Result) -> tuple[float, float, float]:
    """Of an update of one rank: the mean, the deviation of its logarithm, what D takes of it."""
    loop, denoiser, *_ = result.timing[0]
    apart = np.diff(result.column("seconds")[:-1]) / np.diff(result.column("updates")[:-1])
    jitter = float(np.std(np.log(apart))) if len(apart) > 1 else 0.0
    updates = result.per_rank[0]
    return float(loop / updates), jitter, float(denoiser / updates)


def _messages(start: Sequence[str | Path], thread: str) -> Mapping[str, float]:
    out = call(*start, sys.executable, HERE / "messages.py", thread)
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def _between(one: Network) -> Network | None:
    """Between two emulated hosts, with the progress thread."""
    if not can_emulate_hosts():
        return None
    call(HOSTS, "up")
    try:
        far = _messages(on_hosts(2), "on")
    finally:
        call(HOSTS, "down")
    waits = max(0.0, far["edge, computing"] - far["edge"])  # half a period, in the mean
    return Network(
        latency=far["edge"] / 2,
        bandwidth=far["bytes"] / max(1e-9, far["large"] - far["edge"]),
        serve=far["each"],
        poll=2 * waits,
        near=one.near,
        hop=far["barrier"],
    )


if __name__ == "__main__":
    main()
