"""asyncred against what a user would pick instead, to the same quality, on two cores.

The demo problem of fixed_point.py: 240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a
block at 30 dB, tau 0.8, the same weights for all. x* is a long run of GM-RED. A method is done when
||x - x*|| / ||x*|| <= 2e-3 and its SNR is within 0.05 dB of that of x*.

- DeepInverse, as shipped: the gradient method with the prior RED, step 1/(L + 2 tau).
- DeepInverse, FISTA: accelerated proximal gradient, the prox of the data term by CG, mu = tau.
- Nesterov: the whole image with restart, numpy and ONNX Runtime, asyncred's gradient kernel.
- asyncred: ``ASYNCRED`` has the flags; every point is a run of its own from the start.

All start from asyncred's default for this problem, but where the flags say otherwise. Two columns
of seconds: of the loop, without set-up and without the comparisons with x*; and of the whole
command, from Python's start to the result. For asyncred a search over --epochs finds the fewest,
to 1 in 16, that are enough. Into --folder go anchors.md and anchors.png.

    pip install asyncred[mpich,anchors]
    python benchmarks/anchors.py [--folder DIR] [--repeats N] [--only TEXT ...] [--star RESULT.h5]
                                 [--size PIXELS] [--max-seconds S]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from anchors_case import DISTANCE, THREADS, Goal, Sample
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.plan import sha256
from common import ASYNCRED as COMMAND
from common import mpirun, simulate, star_of, table, timed

TAU, RANKS, MOST_EPOCHS = "0.8", 2, 4096
ALONE = {
    "DeepInverse, as shipped": "deepinv-gd",
    "DeepInverse, FISTA with CG": "deepinv-fista",
    "numpy, Nesterov with restart": "nesterov",
}
ASYNCRED: dict[str, tuple[int, tuple[str, ...]]] = {
    "asyncred, gradient": (128, ("--update", "gradient")),
    "asyncred": (4, ()),
    "asyncred, factors at hand": (4, ("--factors", "FACTORS")),
}
"""Epochs to try first, and flags. Factors are made before, and their seconds printed."""
PACKAGES = ("deepinv", "torch", "numpy", "onnxruntime", "mpi4py", "mpich")
HEAD = (
    *("method", "processes x threads", "passes or epochs", "loop, s", "whole command, s"),
    *("x - x*, relative", "SNR, dB", "peak of a process, MiB"),
)


@dataclass(frozen=True)
class Outcome:
    """One run of a method, to its end."""

    done: bool
    passes: int
    """Of the denoiser over the image."""
    whole: float
    """Seconds of the command."""
    peak: float
    """Largest resident memory of one of its processes, MiB."""
    trace: list[Sample]


@dataclass(frozen=True)
class Row:
    """A method, measured."""

    name: str
    processes: str
    outcomes: list[Outcome]
    """Repeats of the run that counts."""
    curves: list[tuple[str, list[tuple[float, float]]]]
    """Line style, and points of seconds and distance."""

    def cells(self) -> list[str]:
        last = [outcome.trace[-1] for outcome in self.outcomes]
        loop, whole, peak, passes = np.median(
            [(o.trace[-1][0], o.whole, o.peak, o.passes) for o in self.outcomes], axis=0
        )
        done = all(outcome.done for outcome in self.outcomes)
        return [
            self.name,
            self.processes,
            f"{passes:.0f}",
            f"{loop:.1f}" if done else f"not in {loop:.1f}",
            f"{whole:.1f}",
            f"{max(sample[1] for sample in last):.1e}",
            f"{min(sample[2] for sample in last):.3f}",
            f"{peak:.0f}",
        ]


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        problem = simulate(folder / "problem.h5", "--size", str(options.size))
        star = options.star or star_of(problem, folder / "star.h5", "--tau", TAU).path
        goal = goal_of(star, problem)
        print(f"x*: {snr(goal.truth, goal.star):.3f} dB; {versions()}", flush=True)
        rows = []
        for name in options.methods:
            if name in ALONE:
                limit = options.max_seconds
                rows.append(alone(name, problem, star, goal, options.repeats, limit))
            else:
                rows.append(parallel(name, problem, goal, options.repeats))
            print(rows[-1].cells(), flush=True)
        text = table(HEAD, [row.cells() for row in rows])
        (folder / "anchors.md").write_text(f"{versions()}\n\n{text}\n")
        plot(folder / "anchors.png", rows)
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--size", type=int, default=240, help="side of the image (240)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="parts of the names of methods")
    parser.add_argument("--star", type=Path, help="x*, from an earlier run (made anew)")
    parser.add_argument(
        "--max-seconds", type=float, default=1200.0, help="of a loop in one process"
    )
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}, expected an integer >= 1")
    texts, known = options.only or [""], (*ALONE, *ASYNCRED)
    options.methods = [name for name in known if any(text in name for text in texts)]
    if not options.methods:
        parser.error(f"--only is {' '.join(texts)}, expected parts of: {'; '.join(known)}")
    if any("DeepInverse" in name for name in options.methods) and not find_spec("deepinv"):
        parser.error("deepinv is not installed: pip install deepinv, or --only asyncred numpy")
    return options


def versions() -> str:
    """Of what is measured, where it is installed."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def goal_of(star: Path, problem: Path) -> Goal:
    """x* from a result. Ends the benchmark, in one line, where it is not of this problem."""
    try:
        found = read_result(star)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if found.provenance["input_sha256"] != sha256([problem]):
        raise SystemExit(f"{star}: is of another problem, expected a result of {problem}")
    return Goal.of(found)


def alone(name: str, problem: Path, star: Path, goal: Goal, repeats: int, seconds: float) -> Row:
    """A method of ``anchors_alone``."""
    script, out = Path(__file__).with_name("anchors_alone.py"), problem.with_name("out.json")
    command = (sys.executable, script, ALONE[name], problem, star, out, seconds)
    outcomes = []
    for _ in range(repeats):
        whole, peak = timed(command, threads=THREADS)
        found = json.loads(out.read_text())
        if "difference" in found:
            print(f"max |D in torch - D in ONNX Runtime|: {found['difference']:.1e}", flush=True)
        trace = [(s, d, q) for s, d, q in found["trace"]]
        done = goal.met(*trace[-1][1:])
        outcomes.append(Outcome(done, len(trace) - 1, whole, peak, trace))
    points = [(s, d) for s, d, _ in outcomes[0].trace]
    return Row(name, f"1 x {THREADS}", outcomes, [("-", points)])


def parallel(name: str, problem: Path, goal: Goal, repeats: int) -> Row:
    """asyncred, with the fewest epochs whose runs are all done."""
    first, flags = ASYNCRED[name]
    if "FACTORS" in flags:
        flags = ("--factors", str(factors_of(problem)))
    tried: dict[int, list[Outcome]] = {}

    def enough(epochs: int) -> bool:
        tried[epochs] = [run(problem, goal, flags, epochs) for _ in range(repeats)]
        print(f"{name}, {epochs} epochs: {tried[epochs][0].trace[-1]}", flush=True)
        return all(outcome.done for outcome in tried[epochs])

    epochs = fewest(enough, first)
    ends = [tried[k][0] for k in sorted(tried)]
    loop = [(end.trace[-1][0], end.trace[-1][1]) for end in ends]
    whole = [(end.whole, end.trace[-1][1]) for end in ends]
    return Row(name, f"{RANKS} x 1", tried[epochs], [("o-", loop), ("o:", whole)])


def factors_of(problem: Path) -> Path:
    """The file of factors, made by a run of one update."""
    path = problem.with_name("factors.h5")
    if not path.exists():
        flags = ("--tau", TAU, "--threads", "1", "--updates", "1", "--start", "zero")
        job = (*COMMAND, "run", problem, "-o", problem.with_name("result.h5"), "--overwrite")
        whole, _ = timed((mpirun(), "-n", str(RANKS), *job, *flags, "--factors", path), threads=1)
        print(f"factors made in {whole:.1f} s, start to end", flush=True)
    return path


def run(problem: Path, goal: Goal, flags: Sequence[str], epochs: int) -> Outcome:
    """One job of so many epochs."""
    output = problem.with_name("result.h5")
    budget = ("--tau", TAU, "--threads", "1", "--epochs", str(epochs))
    job = (*COMMAND, "run", problem, "-o", output, "--overwrite", *budget, *flags)
    whole, peak = timed((mpirun(), "-n", str(RANKS), *job), threads=1)
    found = read_result(output)
    reached = goal.measure(found.image)
    trace = [(float(found.column("seconds")[-1]), *reached)]
    return Outcome(goal.met(*reached), epochs, whole, peak, trace)


def fewest(enough: Callable[[int], bool], first: int) -> int:
    """The least k with enough(k), to 1 in 16: doubled from the first, then bisected."""
    low, high = 0, first
    while not enough(high) and high < MOST_EPOCHS:
        low, high = high, 2 * high
    while high - low > max(1, high // 16):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Distance to x* against seconds; of asyncred the loop's solid, the whole command's dotted."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 5.5), layout="constrained")
    for k, row in enumerate(rows):
        for style, points in row.curves:
            seconds, distances = zip(*[point for point in points if point[0] > 0], strict=True)
            label = row.name + (", whole command" if style.endswith(":") else "")
            axes.loglog(seconds, distances, style, color=f"C{k}", markersize=4, label=label)
    axes.axhline(DISTANCE, color="gray", linewidth=0.8)
    axes.set(xlabel="seconds", ylabel="||x - x*|| / ||x*||")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=150)


main()
