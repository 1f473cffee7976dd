"""A minute that looks for lost speed where nobody looks: every kind of problem, three block sizes.

Each case runs for half a second on 1 rank x 2 threads, 2 ranks x 1 thread and 4 ranks x 1 thread,
with total variation as the denoiser: it is cheap, so that a loss elsewhere shows. A speed is in
updates for 100 GFLOP of a matrix product on the same two cores; in compressive sensing, whose
matrix streams from memory, for 10 GB that they read. ``quick.csv`` has what is expected of each
processor. What stays more than 20 % below after three tries is said at the end. On a processor that
is not in the file only the ratios between the numbers of ranks are judged. Whatever else took the
cores meanwhile is said beside it.

Only the command line and the result file are used, so that any version of the program can be
measured, in the environment of a user, who tells no BLAS how many threads to take.

    python benchmarks/quick.py [--all] [--write] [--limit SECONDS]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import h5py

from quick_expected import (
    CASES,
    DISTURBED,
    HEAD,
    LAYOUTS,
    SLOWER,
    Case,
    Expected,
    Found,
    Try,
    read_expected,
    write_expected,
)
from quick_machine import References, Watch, call, find_mpirun, processor, two_cores, wait

RUN = ("--denoiser", "tv", "--draft", "none", "--tol", "0", "--epochs", "1000000")
SPAN = 0.5
"""Seconds of a run."""

ASYNCRED = (sys.executable, "-m", "asyncred")
PASSES, TRIES = 3, 3


class Bench:
    """Measures cases, whose problems and results are in ``folder``.

    After a run that other work disturbed it waits up to ``patience`` seconds for that to end.
    """

    def __init__(
        self, folder: Path, cases: Sequence[Case], cores: Sequence[int], *, patience: float
    ) -> None:
        self._folder, self._cores, self._patience = folder, cores, patience
        self.references = References(cores)
        np.save(folder / "image.npy", discs())
        with ThreadPoolExecutor(len(cores)) as pool:
            list(pool.map(self._simulate, cases))

    def row(self, case: Case, expected: Expected) -> dict[str, Try]:
        """The best try of each layout; as many as it takes to be as fast as expected."""
        self.references.sample()
        found: dict[str, Try] = {}
        for layout in LAYOUTS:
            for _ in range(TRIES):
                before = [found[layout]] if layout in found else []
                tries = [*before, self._try(case, layout)]
                found[layout] = max(tries, key=lambda one: (not one.disturbed, one.speed))
                if expected.enough(case, found, layout):
                    break
                if found[layout].disturbed:
                    wait(self._cores, DISTURBED, self._patience)
        return found

    def _try(self, case: Case, layout: str) -> Try:
        ranks, threads = LAYOUTS[layout]
        result, watch = self._folder / "result.h5", Watch(self._cores)
        command = (*ASYNCRED, "run", self._problem(case), "-o", result, "--overwrite", *RUN)
        call(find_mpirun(), "-n", ranks, *command, "--threads", threads, "--max-time", SPAN)
        others, rate = watch.share(), rate_of(result)
        read = case.kind == "cs"
        unit = self.references.read / 10 if read else self.references.product / 100
        return Try(rate, rate / unit, others)

    def _simulate(self, case: Case) -> None:
        image = self._folder / "image.npy"
        path = self._problem(case)
        call(*ASYNCRED, "simulate", case.kind, path, "--image", image, *case.flags)

    def _problem(self, case: Case) -> Path:
        return self._folder / f"{case.kind}{case.block}.h5"


def rate_of(result: Path) -> float:
    """Updates per second, of all ranks in their loops."""
    with h5py.File(result) as file:
        entry = file["entry"]
        return float(np.sum(entry["updates/per_rank"][0] / entry["timing/loop"][0]))


def discs() -> NDArray[np.float32]:
    """A truth of 512x512."""
    y, x = np.mgrid[:512, :512] / 512
    image = np.full(x.shape, 0.2, np.float32)
    for a, b, radius, value in np.random.default_rng(0).random((12, 4)):
        inside = np.hypot(x - 0.2 - 0.6 * a, y - 0.2 - 0.6 * b) < 0.05 + 0.15 * radius
        image[inside] = 0.2 + 0.7 * value
    return image


def measure(
    bench: Bench, cases: Sequence[Case], expected: Expected, *, end: float = math.inf
) -> Found:
    """All cases, each printed as a row of a table once it is there; none that begins after end."""
    over = [f"{after} over {before}" for before, after in pairwise(LAYOUTS)]
    head = [*HEAD[1:], *LAYOUTS, *over]
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    rows: Found = {}
    for k, case in enumerate(cases):
        if time.perf_counter() > end:
            print(f"no time for {', '.join(f'{one.kind} {one.block}' for one in cases[k:])}")
            break
        rows[case] = bench.row(case, expected)
        cells = [case.kind, case.block, *expected.compare(case, rows[case])]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return rows


def judge(rows: Found, expected: Expected) -> None:
    """Say what is slower than expected, and what is faster."""
    slow, fast = [], []
    for case, found in rows.items():
        for one in expected.compare(case, found):
            name = f"{case.kind} {case.block}, {one.what}"
            if one.share < SLOWER:
                why = " (other work, or threads that spin, took the cores)" if one.disturbed else ""
                slow.append(f"{name}: {one.value:.3g}, expected {one.expected:.3g}{why}")
            elif one.share * SLOWER > 1 and not one.disturbed:
                fast.append(name)
    head = "more than 20 % slower than expected:" if slow else "nothing is 20 % too slow"
    print("\n  ".join(["\n" + head, *slow]))
    if fast:
        print(f"faster than expected (after an improvement: --write): {'; '.join(fast)}")
    if not expected.known:
        print("only ratios were judged: the file does not know this processor (--write)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every kind in every size")
    parser.add_argument("--write", action="store_true", help=f"expect what {PASSES} passes find")
    parser.add_argument("--wait", type=float, default=5, help="s, for other work to end (5)")
    parser.add_argument("--limit", type=float, default=math.inf, help="s, then no case begins")
    options = parser.parse_args()
    cores, start = two_cores(), time.perf_counter()
    os.sched_setaffinity(0, cores)  # of the runs too: what is expected holds for two cores
    name = processor(cores)
    cases = [case for case in CASES if case.always or options.all or options.write]
    cases.sort(key=lambda case: case.block != 128)  # each kind once before the limit
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench = Bench(Path(folder), cases, cores, patience=options.wait)
            if options.write:
                nothing = Expected({}, known=False)
                write_expected(name, [measure(bench, cases, nothing) for _ in range(PASSES)])
            else:
                expected = read_expected(name)
                in_turn = sorted(cases, key=lambda case: case.block != 128)  # each kind once first
                judge(measure(bench, in_turn, expected, end=start + options.limit), expected)
        except RuntimeError as error:
            print(f"not measured further: {error}")
            return
    found = f"product {bench.references.product:.0f} GFLOP/s, read {bench.references.read:.0f} GB/s"
    print(f"{time.perf_counter() - start:.0f} s on {name}: {found}")


main()
