"""Runs from scripts and notebooks: the same code as the command ``asyncred run``.

    D(x), A, y -> x with G(x) = A^T (A x - y) / ||A||^2 + tau (x - D(x)) = 0

One process needs no MPI library. Under mpirun or srun every rank makes the same call with the same
arguments, and gets the same answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from asyncred.denoisers.onnx import Denoiser, OnnxDenoiser
from asyncred.denoisers.shipped import find_model
from asyncred.files.problem.arrays import NAME, ArrayProblem
from asyncred.files.problem.plausible import marked
from asyncred.files.result import Record, Result
from asyncred.files.result import read_result as read_row
from asyncred.history import Sample
from asyncred.operators import Image
from asyncred.runtime.app import carry_out
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.comm import Comm, world
from asyncred.runtime.config import RunConfig
from asyncred.runtime.job import Setup
from asyncred.runtime.output import FileResults, MemoryResults, Recovered, parameters_used
from asyncred.runtime.plan import make_plan
from asyncred.runtime.report import Show

Callback = Callable[[Sample], object]
"""Told of every sample of the history on rank 0; the run stops where it returns something true."""


@dataclass(frozen=True)
class Solution:
    """What a run found; of a stack of T images, axes of images come first."""

    image: Image
    """float32 or complex64 [H, W] or [T, H, W]."""
    start: Image
    """Where it began, like ``image``."""
    records: list[Record]
    """What is said of each image: history, updates of each block, delays, times."""
    parameters: dict[str, Any]
    """All parameters by key, those that were left open as they were chosen."""
    notes: list[str]
    """What was found or taken for granted; what looks wrong begins with !!."""

    @property
    def history(self) -> list[Sample]:
        """Samples of the first image: updates, seconds, distance, step, SNR, delay."""
        return self.records[0].history

    @property
    def stopped(self) -> str:
        """Why the run of the first image ended: tolerance, budget, time, signal or diverged."""
        return self.records[0].stopped

    @property
    def verdict(self) -> str:
        """``diverged`` if any image did, ``converged`` if all have, else ``not converged``."""
        found = {record.verdict for record in self.records}
        if "diverged" in found:
            return "diverged"
        return "converged" if found == {"converged"} else "not converged"


class Quiet:
    """Watches a run for a callback, and prints nothing."""

    def __init__(self, callback: Callback | None) -> None:
        self._callback, self._stopped = callback, False
        self.setup: Setup | None = None
        self.told: list[str] = []

    def begins(self, setup: Setup) -> None:
        """Keep what was chosen."""
        self.setup = setup
        self.told += [*setup.plan.problem.data.notes, *marked(setup.plan.doubts)]

    def notes(self, setup: Setup, notes: Sequence[str]) -> None:
        """Keep them."""
        self.told += notes

    @contextmanager
    def image(self, setup: Setup, row: int) -> Iterator[Show]:
        """Hand samples to the callback."""

        def show(sample: Sample) -> None:
            self._stopped = self._stopped or bool(self._callback and self._callback(sample))

        yield show if setup.team.everybody.rank == 0 else lambda sample: None

    def image_ends(self, setup: Setup, row: int, record: Record, put_down: Path | None) -> None:
        """Nothing."""

    def left_out(self, setup: Setup, row: int, reason: str) -> None:
        """Keep why."""
        self.told.append(f"image {setup.images[row]} left out: {reason}")

    def wrote(self, setup: Setup, left_out: Sequence[int]) -> None:
        """Nothing."""

    def stopped(self) -> bool:
        """Whether the callback wants no more."""
        return self._stopped


def solve(
    y: ArrayLike,
    operator: ArrayProblem,
    denoiser: str | None = None,
    *,
    tau: float | None = None,
    truth: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    comm: Comm | None = None,
    callback: Callback | None = None,
    **parameters: Any,
) -> Solution:
    """Recover an image, or a stack of them, from measurements in an array.

    Finds x with G(x) = grad 1/2 ||A x - y||^2 + tau (x - D(x)) = 0 by Async-RED (Sun, Liu, Sun,
    Wohlberg, Kamilov, ICLR 2021); converges where D is nonexpansive and the data term convex.

        A = asyncred.convolution(kernel, shape=y.shape)
        x = asyncred.solve(y, A, tau=0.1).image

    Args:
        y: what was measured, as ``operator`` says, or with a leading axis of images.
        operator: the forward model A: ``asyncred.parallel_beam`` and the like, or one of your own
            by ``asyncred.forward_model``.
        denoiser: D, a shipped one or an ONNX file; by default what suits the kind.
        tau: the weight of D against the data; by default what suits the kind.
        truth: the true image, where it is known: the history then has its SNR.
        weights: of y in the data term 1/2 ||A x - y||_W^2, numbers >= 0 of the shape of y or one
            that broadcasts to it, 0 for what was not measured; or ``counts``, of tomography.
        comm: the ranks that share the work, MPI's COMM_WORLD under mpirun by default.
        callback: called with samples of the history, on rank 0; stops the run by a true answer.
        parameters: any other parameter of ``asyncred run``, by the name of its flag with ``_`` for
            ``-``; ``asyncred run --help`` lists them.

    Raises InputError, the same on every rank, where the input is at fault.
    """
    ranks, watch, results = world() if comm is None else comm, Quiet(callback), MemoryResults()
    source, w = (weights, None) if isinstance(weights, str) else (None, weights)
    values = {**parameters, "denoiser": denoiser, "tau": tau, "weights": source, "output": NAME}
    shades = parameters.get("range")
    with _one_thread():
        file = on_all(ranks, lambda: operator.file(y, truth=truth, range=shades, weights=w))
        given = {key: value for key, value in values.items() if value is not None}
        config = on_all(ranks, lambda: RunConfig.from_values(problem=file, **given))
        plan = on_all(ranks, lambda: make_plan(config, ranks.size, files=None, read=operator.read))
        carry_out(config, plan, ranks, results, watch)
    return _gathered(ranks, results, watch)


def _gathered(ranks: Comm, results: MemoryResults, watch: Quiet) -> Solution:
    """What all ranks found, on each of them. Collective."""
    assert watch.setup is not None
    rows = {row: one for part in ranks.allgather(results.rows) for row, one in part.items()}
    found = [rows[row] for row in sorted(rows)]
    told = [note for part in ranks.allgather(watch.told) for note in part]
    return _solution(found, watch.setup, list(dict.fromkeys(told)))


def _solution(found: list[Recovered], setup: Setup, notes: list[str]) -> Solution:
    """Of one image, or of a stack of them."""
    images, starts = [one.image for one in found], [one.start for one in found]
    stack = setup.plan.problem.data.stack.images is not None
    return Solution(
        np.stack(images) if stack else images[0],
        np.stack(starts) if stack else starts[0],
        [one.record for one in found],
        parameters_used(setup),
        notes,
    )


def run(
    problem: str | Path,
    output: str | Path,
    *,
    comm: Comm | None = None,
    callback: Callback | None = None,
    **parameters: Any,
) -> Result | None:
    """Recover the images of a problem file into a result file, as ``asyncred run`` does.

    ``parameters`` are those of the command, by the names of its flags with ``_`` for ``-``;
    ``comm`` and ``callback`` as of ``solve``. Returns the first image of the result, on every
    rank; None where the run was put down in a checkpoint before its end. Collective. Raises
    InputError where the input is at fault.
    """
    ranks, watch = world() if comm is None else comm, Quiet(callback)
    values = {"problem": problem, "output": output, **parameters}
    with _one_thread():
        config = on_root(ranks, lambda: RunConfig.from_values(**values))
        plan = on_root(ranks, lambda: make_plan(config, ranks.size, files=config.files))
        carry_out(config, plan, ranks, FileResults(), watch)
    ranks.Barrier()
    return read_row(config.files.output) if config.files.output.exists() else None


def read_result(path: str | Path, row: int = 0) -> Result:
    """Read an image of a result file, the first by default. Raises ValueError where it is none."""
    return read_row(Path(path), row)


def load_denoiser(
    name_or_file: str | Path, *, sigma: float | None = None, threads: int = 1
) -> Denoiser:
    """D, a shipped denoiser or an ONNX file: a function of float32 [h, w] in [0, 1] to the same.

    ``sigma`` is the noise level, in units of 1/255, of one that takes it. Raises InputError.
    """
    return OnnxDenoiser(find_model(str(name_or_file), sigma=sigma), threads=threads)


@contextmanager
def _one_thread() -> Iterator[None]:
    """BLAS with one thread, also where a script has imported NumPy before asyncred."""
    with threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas"):
        yield
