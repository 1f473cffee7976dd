"""Runs that are killed or interrupted: does every one of them go on, and is nothing lost?

A rank, or mpirun, gets SIGKILL, SIGINT (Ctrl-C, to mpirun), SIGHUP or SIGTERM at a random moment of
a run with frequent checkpoints: while it sets up, iterates, writes a checkpoint or the result. Then
the run is resumed on another number of ranks.

    python benchmarks/faults.py [--runs 100] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import h5py

from asyncred.files.checkpoint import previous
from asyncred.files.result import read_result
from asyncred.metrics import snr
from common import ASYNCRED, ENVIRONMENT, mpirun, simulate, table

RANKS = 4
EPOCHS = 1000
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
LIMIT = 180.0
"""Seconds that any run may take, its end included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found = np.random.default_rng(options.seed), Counter[str]()
    ending = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        problem = simulate(folder / "p.h5", "--size", "64", "--block", "16", kind="ct")
        start = time.monotonic()
        assert run(problem, folder, RANKS).wait(LIMIT) == 0
        seconds = time.monotonic() - start
        uncut = read_result(folder / "r.h5")
        expected = snr(uncut.truth, uncut.image)
        for number in range(options.runs):
            shutil.rmtree(folder / "run", ignore_errors=True)
            (folder / "run").mkdir()
            ending.append(one(problem, folder / "run", rng, seconds, expected, found))
            print(number, dict(found), flush=True)
    rows = [[name, count] for name, count in sorted(found.items())]
    print(table(["", "runs"], [["killed", options.runs], *rows]))
    print(f"\nuncut: {seconds:.1f} s; from the kill to the job's end: at most {max(ending):.1f} s")


def one(
    problem: Path,
    folder: Path,
    rng: np.random.Generator,
    seconds: float,
    expected: float,
    found: Counter[str],
) -> float:
    """Kill one run and resume it; the seconds until the killed job was gone."""
    job = run(problem, folder, RANKS)
    time.sleep(rng.uniform(0.05, 1.0) * seconds)
    ranks = processes(folder)
    number = signal.Signals(rng.choice(SIGNALS))
    whole = rng.random() < 0.25 or not ranks or number == signal.SIGINT
    victim = job.pid if whole else int(rng.choice(ranks))
    found[f"{number.name} to {'mpirun' if victim == job.pid else 'a rank'}"] += 1
    killed = time.monotonic()
    if job.poll() is None:
        os.kill(victim, number)
    job.wait(LIMIT)
    while processes(folder):
        if time.monotonic() - killed > LIMIT:
            found["PROCESSES LEFT"] += 1
            for pid in processes(folder):
                os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    gone = time.monotonic() - killed
    kept, result = folder / "c.h5", folder / "r.h5"
    for path in (kept, previous(kept), result):
        if path.exists() and not readable(path):
            found[f"UNREADABLE {path.name}"] += 1
    if result.exists() and read_result(result).complete:
        found["result was there"] += 1
        return gone
    found["resumed" if kept.exists() else "started anew"] += 1
    flags = ("--resume", kept) if kept.exists() else ()
    if run(problem, folder, int(rng.integers(1, 4)), *flags).wait(LIMIT) != 0:
        found["NOT RESUMED"] += 1
        print((folder / "errors").read_text(), flush=True)
        return gone
    again = read_result(result)
    found["UPDATES DO NOT ADD UP"] += int(again.per_block.sum()) != 16 * EPOCHS
    found["ANOTHER IMAGE"] += abs(snr(again.truth, again.image) - expected) > 0.05
    return gone


def run(problem: Path, folder: Path, ranks: int, *flags: str | Path) -> subprocess.Popen[bytes]:
    """A run with a checkpoint five times a second."""
    command = [mpirun(), "-n", ranks, *ASYNCRED, "run", problem, "-o", folder / "r.h5"]
    command += ["--denoiser", "tv", "--sigma", "5", "--epochs", EPOCHS, "--threads", 1]
    command += ["--checkpoint", folder / "c.h5", "--checkpoint-every", 0.003, *flags]
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def processes(folder: Path) -> list[int]:
    """Those that run in this folder, launchers aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = b"asyncred" in command and any(str(folder).encode() in part for part in command)
        if ours and b"-n" not in command:
            found.append(int(entry.name))
    return found


def readable(path: Path) -> bool:
    """Whether all of an HDF5 file can be read."""
    try:
        with h5py.File(path) as file:
            file.visititems(lambda name, node: node[()] if isinstance(node, h5py.Dataset) else None)
    except OSError:
        return False
    return True


main()
