"""One method in one process, followed until it is done; ``anchors.py`` starts it, a process each.

    python benchmarks/anchors_alone.py METHOD PROBLEM.h5 STAR.h5 OUT.json SECONDS

x* is in STAR.h5. A method is an iterator: what it yields first is x0, asyncred's own for this kind
of problem; until then is set-up. The clock runs while it computes an iterate and stands while that
is compared with x*. The methods of DeepInverse are in ``anchors_deepinv``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from anchors_case import Case, Goal, Sample, read_case
from asyncred.files.result import read_result
from asyncred.operators import Image
from asyncred.red.operator import RedOperator


def nesterov(case: Case) -> Iterator[Image]:
    """The whole image by Nesterov's method, with the gradient restart of O'Donoghue, Candes (2015).

        x <- z - gamma G(z),    z <- x + (t' - 1) / t (x - x')

    x' and t' those before; t begins anew where the step goes against the last move.
    """
    G = RedOperator(case.grid, case.A, case.D, tau=case.tau)
    gamma, t = np.float32(case.gamma), 1.0
    x = z = case.x0
    while True:
        yield x
        G_z = G.full(z)
        before, x = x, z - gamma * G_z
        if np.vdot(G_z, x - before) > 0:
            t, z = 1.0, x
        else:
            t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
            z = x + np.float32((t_before - 1) / t) * (x - before)


def follow(iterates: Iterator[Image], goal: Goal, seconds: float) -> list[Sample]:
    """Samples of all iterates until one is done, or so many seconds are over."""
    clock = 0.0
    trace = [(clock, *goal.measure(next(iterates)))]
    while not goal.met(*trace[-1][1:]) and clock < seconds:
        start = time.perf_counter()
        x = next(iterates)
        clock += time.perf_counter() - start
        trace.append((clock, *goal.measure(x)))
    return trace


def main(method: str, problem: str, star: str, out: str, seconds: str) -> None:
    case, goal = read_case(Path(problem)), Goal.of(read_result(Path(star)))
    methods: dict[str, Callable[[Case], Iterator[Image]]] = {"nesterov": nesterov}
    found: dict[str, object] = {}
    if method not in methods:
        import anchors_deepinv

        methods |= anchors_deepinv.METHODS
        found["difference"] = anchors_deepinv.difference(case.D, goal.truth)
    found["trace"] = follow(methods[method](case), goal, float(seconds))
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
