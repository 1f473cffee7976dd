"""Runs from scripts and notebooks: the same code as the command ``asyncred run``.

    D(x), A, y -> x with G(x) = A^T (A x - y) / ||A||^2 + tau (x - D(x)) = 0

One process needs no MPI library. Under mpirun or srun every rank makes the same call with the same
arguments, and gets the same answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from asyncred.denoisers.onnx import Denoiser, OnnxDenoiser
from asyncred.denoisers.shipped import find_model
from asyncred.files.problem.array_problem import NAME, ArrayProblem
from asyncred.files.problem.plausible import marked
from asyncred.files.result import Record, Result
from asyncred.files.result import read_result as read_row
from asyncred.history import Sample
from asyncred.runtime.app import carry_out
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.comm import Comm, world
from asyncred.runtime.config import RunConfig
from asyncred.runtime.job import Setup
from asyncred.runtime.output import parameters_used
from asyncred.runtime.owner import owned
from asyncred.runtime.plan import make_plan
from asyncred.runtime.report import Show
from asyncred.runtime.results import FileResults, MemoryResults, Recovered
from asyncred.runtime.solution import Solution

Callback = Callable[[Sample], object]
"""Told of every sample of the history on rank 0; the run stops where it returns something true."""


class Quiet:
    """Watches a run for a callback, and prints nothing."""

    def __init__(self, callback: Callback | None) -> None:
        self._callback, self._stopped = callback, False
        self.setup: Setup | None = None
        self.told: list[str] = []

    def begins(self, setup: Setup) -> None:
        """Keep what was chosen."""
        self.setup = setup
        self.told += [
            *setup.plan.problem.data.notes,
            *setup.plan.model.notes,
            *marked(setup.plan.doubts),
        ]

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
    """Recover an image, or a stack of images, from measurements in an array.

    Finds the x with G(x) = A^T (A x - y) + tau (x - D(x)) = 0, where D is a denoiser. If D has a
    potential g, D(x) = x - grad g(x), then 1/2 ||A x - y||^2 + tau g(x) is stationary there.
    Converges if D is nonexpansive, or has a potential; with others mostly, and ``verdict`` tells.

    >>> import asyncred, numpy as np
    >>> truth = np.zeros((32, 32)); truth[8:24, 12:20] = 1
    >>> A = asyncred.convolution(np.full((3, 3), 1 / 9), shape=truth.shape)
    >>> y = truth + 0.02 * np.random.default_rng(0).standard_normal(truth.shape)
    >>> asyncred.solve(y, A, "tv", sigma=10, tau=0.05, epochs=20).image.shape
    (32, 32)

    Args:
        y: What was measured, as ``operator`` asks for it; a leading axis makes a stack of images.
        operator: A, made by :func:`asyncred.parallel_beam` or one of the other functions.
        denoiser: A shipped denoiser or an ONNX file. Default: what suits the kind of problem.
        tau: Weight of the denoiser; larger is smoother. Default: by the noise in y, or the kind.
        truth: The true image, where it is known: the history then has its SNR.
        weights: What each measurement counts in 1/2 ||A x - y||_W^2, >= 0, of the shape of y or
            one that broadcasts to it, 0 for what was not measured; ``"counts"`` in tomography.
        comm: The ranks that share the work. Default: all ranks of the job.
        callback: Called on rank 0 with each new sample; the run stops if it returns a true value.
        parameters: Any other parameter of ``asyncred run``, with ``_`` for ``-`` in its name.

    Raises InputError, the same on every rank, if the input is wrong. Every rank returns the same.
    The method is that of Sun, Liu, Sun, Wohlberg, Kamilov, Async-RED, ICLR 2021.
    """
    told = {**parameters, "denoiser": denoiser, "tau": tau}
    return _solve(y, operator, told, truth, weights, world() if comm is None else comm, callback)


def _solve(
    y: ArrayLike,
    operator: ArrayProblem,
    told: dict[str, Any],
    truth: ArrayLike | None,
    weights: ArrayLike | str | None,
    ranks: Comm,
    callback: Callback | None,
) -> Solution:
    """The same, with the parameters of the command that were ``told``. Collective over ranks."""
    watch, results = Quiet(callback), MemoryResults()
    source, w = (weights, None) if isinstance(weights, str) else (None, weights)
    values = {**told, "weights": source, "output": NAME}
    shades = told.get("range")
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
    """Recover the images of a problem file, and write them into a result file.

    Does what the command ``asyncred run`` does, and solves the same equation as
    :func:`asyncred.solve`. Under ``mpirun`` every rank has to make the same call.

    >>> import asyncred
    >>> result = asyncred.run("problem.h5", "new.h5", epochs=4)
    >>> result.image.shape, result.provenance["verdict"]
    ((64, 64), 'not converged')

    Args:
        problem: The problem file, or a scan as beamlines and scanners write it.
        output: The result file to write.
        comm: The ranks that share the work. Default: all ranks of the job.
        callback: As in :func:`asyncred.solve`.
        parameters: Any other parameter of the command, with ``_`` for ``-`` in its name.

    Returns:
        The first image of the result, on every rank; None if the run was put down in a checkpoint
        before its end.

    Raises:
        InputError: The input is wrong; the same on every rank.
    """
    ranks, watch = world() if comm is None else comm, Quiet(callback)
    values = {"problem": problem, "output": output, **parameters}
    with _one_thread():
        config = on_root(ranks, lambda: RunConfig.from_values(**values))
        with owned(config.files, ranks):
            plan = on_root(ranks, lambda: make_plan(config, ranks.size, files=config.files))
            carry_out(config, plan, ranks, FileResults(), watch)
    ranks.Barrier()
    return read_row(config.files.output) if config.files.output.exists() else None


def read_result(path: str | Path, row: int = 0) -> Result:
    """Read one image of a result file, with its history and all parameters of its run.

    >>> import asyncred
    >>> asyncred.read_result("result.h5").image.shape
    (64, 64)

    Args:
        path: The result file.
        row: Which image of a stack, counted from 0.

    Raises:
        ValueError: The file is no result, or has no such image.
    """
    return read_row(Path(path), row)


def load_denoiser(
    name_or_file: str | Path, *, sigma: float | None = None, threads: int = 1
) -> Denoiser:
    """Load a denoiser D: a function from a noisy image to a clean one.

    >>> import asyncred, numpy as np
    >>> D = asyncred.load_denoiser("tv", sigma=25)
    >>> noisy = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    >>> bool(np.std(D(noisy)) < 0.3 * np.std(noisy))
    True

    Args:
        name_or_file: The name of a shipped denoiser (``asyncred models`` lists them), or an ONNX
            file.
        sigma: The noise level to remove, in units of 1/255, of a denoiser that takes one.
        threads: How many threads it uses.

    Returns:
        D, which takes float32 [h, w] with values in [0, 1] and returns the same.

    Raises:
        InputError: There is no such denoiser, or it is none.
    """
    return OnnxDenoiser(find_model(str(name_or_file), sigma=sigma), threads=threads)


@contextmanager
def _one_thread() -> Iterator[None]:
    """BLAS with one thread, also where a script has imported NumPy before asyncred."""
    with threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas"):
        yield
