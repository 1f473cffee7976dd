"""Where recovered images go: into a result file, or into memory."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asyncred.files.checkpoint import previous
from asyncred.files.result import SAMPLES, Record, ResultFile, create_result, write_result
from asyncred.files.whole import Reserved, clear_partial, partial
from asyncred.operators import Image
from asyncred.runtime.collective import on_root
from asyncred.runtime.exit_codes import NOT_WRITTEN
from asyncred.runtime.iterate import legs
from asyncred.runtime.job import Job, Setup
from asyncred.runtime.output import layout_of, streams
from asyncred.runtime.reconstruct import Outcome
from asyncred.runtime.refusals import checkpoint_of
from asyncred.runtime.terms import CoupledTerm

ROOM = 1 << 20
"""Bytes of a result besides its images, about."""


class Results(Protocol):
    """Where recovered images go. Every method but ``close`` is collective."""

    def there(self, setup: Setup, row: int) -> None:
        """An image is there already, complete."""
        ...

    def open(self, setup: Setup) -> None:
        """Before the first image. Raises InputError."""
        ...

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> int:
        """Take an image, which may be incomplete; the exit code that this leads to."""
        ...

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Flag an image that has no measurements as incomplete."""
        ...

    def close(self) -> None:
        """After the last image, whatever ended the run."""
        ...


class FileResults:
    """A result file: that of one image appears at the end, that of a stack fills up row by row."""

    def __init__(self) -> None:
        self._reserved: Reserved | None = None

    def there(self, setup: Setup, row: int) -> None:
        """Remove the checkpoint that a run which was killed just then has left."""
        if setup.team.comm.rank == 0:
            problem, kept = setup.plan.problem, setup.config.files.kept
            _forget(checkpoint_of(kept, problem, setup.images[row]))

    def open(self, setup: Setup) -> None:
        """Set space aside on disk; make the result of a stack, unless one is to be gone on with."""
        on_root(setup.team.everybody, lambda: self._open(setup))

    def _open(self, setup: Setup) -> None:
        output = setup.config.files.output
        clear_partial(output)
        if len(setup.images) > 1:
            _open_stack(setup)
        else:
            problem = setup.plan.problem
            pixels = math.prod(problem.grid.shape) * np.dtype(problem.data.dtype).itemsize
            self._reserved = Reserved(output, pixels * (2 + problem.has_truth) + ROOM)

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> int:
        """Write an image: rank 0 writes, the others send it their blocks.

        Where that fails it is kept in another folder, which is said.
        """
        self.close()
        code, output = 0, setup.config.files.output
        error = _write(setup, row, job, record, outcome, None)
        for folder in [] if error is None else _elsewhere(job):
            code, path = NOT_WRITTEN, folder / partial(output).name.lstrip(".")[: -len(".part")]
            path = path.with_name(f"{path.name}.h5")
            if setup.team.comm.rank == 0:
                _say(f"{output}: cannot be written: {error}; trying {path}")
            error = _write(setup, row, job, record, outcome, path)
            if error is None:
                break
        if setup.team.comm.rank == 0 and code:
            where = "is lost" if error else f"is kept in {path}"
            _say(f"{output}: image {setup.images[row]} {where}")
        if setup.team.comm.rank == 0 and not code and len(setup.images) > 1 and record.complete:
            _forget(job.checkpoint)
        setup.team.comm.Barrier()
        return code

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Write the reason; its flag stays down."""
        if setup.team.comm.rank == 0:
            with ResultFile(setup.config.files.output) as file:
                file.leave_out(row, reason)
        setup.team.comm.Barrier()

    def close(self) -> None:
        """Give back what was set aside."""
        if self._reserved is not None:
            self._reserved.release()
            self._reserved = None


def _write(
    setup: Setup, row: int, job: Job, record: Record, outcome: Outcome, path: Path | None
) -> str | None:
    """Write an image into the result or, as its only one, into another file.

    Collective. Why it could not be written, if so.
    """
    images, comm = streams(setup, job, outcome), setup.team.comm
    error, output = None, setup.config.files.output
    if comm.rank == 0:
        try:
            if path is None and len(setup.images) > 1:
                with ResultFile(output) as file:
                    file.write(row, setup.plan.problem.grid, record, images)
            else:
                layout = layout_of(setup, len(record.history), len(record.drifts), job.notes)
                write_result(path or output, layout.of(row), record, images)
        except (OSError, RuntimeError, ValueError) as found:
            error = " ".join(str(found).split())
    for stream in images.values():  # the others send, and what was not written is received
        for _ in stream:
            pass
    told: str | None = comm.bcast(error)
    return told


def _elsewhere(job: Job) -> list[Path]:
    """Folders where a result may be kept that cannot be written where it should be."""
    folders = [] if job.checkpoint is None else [job.checkpoint.parent]
    return [*folders, Path(os.environ.get("TMPDIR") or tempfile.gettempdir())]


def _say(words: str) -> None:
    print(f"!! {words}", file=sys.stderr, flush=True)


def _forget(checkpoint: Path | None) -> None:
    """Remove a checkpoint that nobody will resume from."""
    if checkpoint is not None:
        for path in (checkpoint, previous(checkpoint)):
            path.unlink(missing_ok=True)


def _open_stack(setup: Setup) -> None:
    config, grid = setup.config, setup.plan.problem.grid
    if config.files.resume is None or not config.files.output.exists():
        coupled = isinstance(setup.term, CoupledTerm)
        renewals = legs(setup.plan.budget, config.update.refresh, len(grid), coupled=coupled)
        drifts = len(renewals) if coupled else 0
        create_result(config.files.output, layout_of(setup, SAMPLES, drifts))


@dataclass(frozen=True)
class Recovered:
    """An image in memory, and what is said of it."""

    image: Image
    start: Image
    record: Record


class MemoryResults:
    """Recovered images by row, on rank 0 of the ranks that shared each."""

    def __init__(self) -> None:
        self.rows: dict[int, Recovered] = {}

    def there(self, setup: Setup, row: int) -> None:
        """Never."""

    def open(self, setup: Setup) -> None:
        """Nothing is to be made."""

    def put(self, setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> int:
        """Keep an image."""
        grid, dtype = setup.plan.problem.grid, setup.plan.problem.data.dtype
        whole: dict[str, Image] = {}
        for name, stream in streams(setup, job, outcome).items():
            whole[name] = np.zeros(grid.shape, dtype)
            for i, block in stream:
                whole[name][grid.block(i)] = block
        if setup.team.comm.rank == 0:
            self.rows[row] = Recovered(whole["data"], whole["start"], record)
        return 0

    def leave_out(self, setup: Setup, row: int, reason: str) -> None:
        """Never: arrays hold measurements of all images."""

    def close(self) -> None:
        """Nothing is held."""
