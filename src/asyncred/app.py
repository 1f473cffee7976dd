"""The main job: builds the objects that a configuration asks for and runs them. The only wiring."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mpi4py import MPI

from asyncred.checkpoint import Past, previous, read_blocks, read_past, read_residual
from asyncred.collective import gather_blocks, on_all, on_root
from asyncred.config import InputError, RunConfig
from asyncred.denoiser import Denoiser, OnnxDenoiser
from asyncred.placement import Placement, place, spans_hosts
from asyncred.plan import Plan, checkpoint_of, make_plan, truth_blocks
from asyncred.progress import Progress, Quiet, progress
from asyncred.provider import Provider, find_provider
from asyncred.reconstruct import Job, Outcome, legs, reconstruct
from asyncred.report import say_image, say_start
from asyncred.result import (
    SAMPLES,
    Layout,
    Record,
    ResultFile,
    create_result,
    write_result,
)
from asyncred.shared import ProgressThread, Queue
from asyncred.stopping import Reason, Signals
from asyncred.terms import CoupledTerm, LocalTerm, read_term
from asyncred.values import Parts, Ranged, range_of, sample, with_phases, without_phases

EARLY = 75
"""The exit code of a run that stopped before its end, and can be resumed."""

ABORT_SECONDS = 60
"""How long a rank waits for the end of a job that was aborted."""

EXIT_CODES = {Reason.SIGNAL: EARLY, Reason.DIVERGED: 1}


@dataclass(frozen=True)
class Setup:
    """What one rank works with for all images."""

    config: RunConfig
    everybody: MPI.Intracomm
    comm: MPI.Intracomm
    """The ranks that share an image with this one."""
    plan: Plan
    placement: Placement
    term: LocalTerm | CoupledTerm
    denoiser: Denoiser
    hosts: list[str]
    """Of all ranks."""
    providers: list[Provider]
    """Of each rank's denoiser."""

    @property
    def images(self) -> range:
        """Those that are asked for."""
        return self.plan.problem.images


def run(config: RunConfig, everybody: MPI.Intracomm) -> int:
    """Reconstruct all images asked for, write the result and return the exit code.

    Collective over everybody. Raises InputError, the same on every rank, where the input is at
    fault; where that shows only in a later image, the job is aborted with one line.
    """
    plan = on_root(everybody, lambda: make_plan(config, everybody.size))
    comm = MPI.Intracomm(everybody.Split(everybody.rank // plan.ranks_per_image))
    blocks = len(plan.problem.grid)
    placement = place(comm, blocks, threads=config.threads, everybody=everybody)
    term = read_term(everybody, comm, plan, placement)
    on_all(everybody, lambda: truth_blocks(plan.problem, placement.own, plan.problem.images[0]))
    hosts = everybody.allgather(MPI.Get_processor_name())
    thread = _progress_thread(config, everybody)  # from here on the first image's input is fine
    provider = on_all(everybody, lambda: find_provider(config.provider, placement.local_rank))
    providers, threads = everybody.allgather(provider), placement.threads
    denoiser = on_all(
        everybody, lambda: OnnxDenoiser(plan.model, threads=threads, provider=provider)
    )
    if everybody.rank == 0:
        say_start(plan, placement, providers, config, hosts)
    setup = Setup(config, everybody, comm, plan, placement, term, denoiser, hosts, providers)
    with ExitStack() as stack, Signals() as signals:
        if thread:
            stack.enter_context(ProgressThread(everybody))
        term.open(comm, stack)
        queue = stack.enter_context(Queue(everybody))
        code = _all_images(setup, queue, _heard_by_all(signals, queue))
    comm.Free()
    return code


def _heard_by_all(signals: Signals, queue: Queue) -> Callable[[], bool]:
    """Whether any rank, of any group, was signalled."""

    def signalled() -> bool:
        if signals() and not queue.stopped():
            queue.raise_stop()
        return queue.stopped()

    return signalled


def _all_images(setup: Setup, queue: Queue, signalled: Callable[[], bool]) -> int:
    """Images from the queue, each written when it is done. Collective. The exit code."""
    config, comm, images = setup.config, setup.comm, setup.images
    if len(images) > 1:
        on_root(setup.everybody, lambda: _open_stack(setup))
    deadline = time.monotonic() + config.max_time
    code, early = 0, False
    while not early and (row := _next_row(comm, queue)) < len(images):
        if setup.plan.done[row]:
            continue
        reason, put_down = _one_image(setup, row, signalled, deadline - time.monotonic())
        early = reason in (Reason.SIGNAL, Reason.TIME)
        to_be_resumed = put_down or (early and len(images) > 1)
        code = max(code, EXIT_CODES.get(reason, 0), EARLY if to_be_resumed else 0)
    code = int(setup.everybody.allreduce(code, MPI.MAX))
    written = len(images) > 1 or code != EARLY or config.checkpoint_file is None
    if setup.everybody.rank == 0 and written:
        print(f"wrote {config.output}", flush=True)
    return code


def _next_row(comm: MPI.Intracomm, queue: Queue) -> int:
    """The row of the image that is next for this group. Collective over comm."""
    return int(comm.bcast(queue.take() if comm.rank == 0 else None))


def _one_image(
    setup: Setup, row: int, signalled: Callable[[], bool], seconds: float
) -> tuple[Reason, Path | None]:
    """Why it ended, and where it was put down if that was before its end. Collective."""
    comm, images = setup.comm, setup.images
    display = _display(setup, row) if setup.everybody.rank == 0 else Quiet()
    with _fatal(setup):
        job = _job(setup, images[row], seconds)
    outcome = reconstruct(job, signalled, display.show)
    display.close()
    record = _gather_record(setup, job, outcome)
    early = outcome.reason in (Reason.SIGNAL, Reason.TIME)
    put_down = job.checkpoint if early else None
    if put_down is None:
        _write(setup, row, job, record, outcome)
    if comm.rank == 0:
        say_image(images, row, record, put_down)
    return outcome.reason, put_down


@contextmanager
def _fatal(setup: Setup) -> Iterator[None]:
    """Where groups work on images of their own, wrong input of one of them ends the job."""
    try:
        yield
    except InputError as error:
        if setup.comm.size == setup.everybody.size:
            raise
        if setup.comm.rank == 0:
            print(f"asyncred: {error}", file=sys.stderr, flush=True)
            setup.everybody.Abort(2)
        time.sleep(ABORT_SECONDS)  # until the abort arrives


def _open_stack(setup: Setup) -> None:
    """Make the result of a stack, unless one is there to go on with."""
    config, grid = setup.config, setup.plan.problem.grid
    if config.resume is None or not config.output.exists():
        coupled = isinstance(setup.term, CoupledTerm)
        drifts = len(legs(config, len(grid), coupled=coupled)) if coupled else 0
        create_result(config.output, _layout(setup, SAMPLES, drifts))


def _job(setup: Setup, index: int, seconds: float) -> Job:
    """What this rank works with for one image of the stack. Collective. Raises InputError."""
    config, plan, comm, own = setup.config, setup.plan, setup.comm, setup.placement.own
    known = on_all(comm, lambda: truth_blocks(plan.problem, own, index))
    term = setup.term.turn(index)
    truth = without_phases(known, term.phases)
    shades = config.range or plan.problem.shades
    if shades is None:
        samples = comm.allgather(
            [sample(block, len(plan.problem.grid)) for block in term.x0.values()]
        )
        shades = range_of(np.concatenate([part for parts in samples for part in parts]))
    D: Denoiser = setup.denoiser if shades == (0.0, 1.0) else Ranged(setup.denoiser, *shades)
    if np.dtype(plan.problem.data.dtype).kind == "c":
        D = Parts(D)
    job = Job(
        config,
        comm,
        plan,
        setup.placement,
        index,
        term,
        D,
        truth,
        shades,
        seconds,
        Past.nothing(len(plan.problem.grid)),
        checkpoint=checkpoint_of(config.checkpoint_file, plan.problem, index),
    )
    cut = checkpoint_of(config.resume, plan.problem, index)
    return job if cut is None or not on_root(comm, cut.exists) else _resumed(job, cut)


def _resumed(job: Job, path: Path) -> Job:
    """The same job where the run was cut. Collective. Raises InputError."""
    comm, plan, problem = job.comm, job.plan, job.plan.problem
    past = on_root(
        comm,
        lambda: read_past(
            path,
            grid=problem.grid,
            image=job.index,
            input_sha256=plan.sha256,
            dtype=problem.data.dtype,
        ),
    )
    blocks = on_all(comm, lambda: read_blocks(path, problem.grid, job.own))
    coupling = job.term.coupling
    if coupling and past.ranks == comm.size == 1:
        coupling.restore(on_all(comm, lambda: read_residual(path, range(problem.data.groups))))
    elif coupling:
        coupling.refresh(blocks)
    return replace(job, past=past, resumed=blocks)


def _progress_thread(config: RunConfig, comm: MPI.Intracomm) -> bool:
    """Whether a progress thread is wanted. Raises InputError where the MPI library forbids it."""
    asked = config.progress_thread
    wanted = spans_hosts(comm) if asked == "auto" else asked == "on"
    if wanted and MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise InputError(
            "this MPI library gives no MPI_THREAD_MULTIPLE, which the progress thread needs; "
            "--progress-thread off runs without, and waits for ranks of other hosts"
        )
    return wanted


def _display(setup: Setup, row: int) -> Progress:
    blocks, images = len(setup.plan.problem.grid), len(setup.images)
    title = f"image {row + 1} of {images}  " if images > 1 else ""
    return progress(setup.config.budget(blocks), blocks, setup.config.max_time, title)


def _gather_record(setup: Setup, job: Job, outcome: Outcome) -> Record:
    """What the result file says of an image; meant on rank 0 only. Collective."""
    comm, monitor = setup.comm, outcome.monitor
    counts = np.zeros(len(setup.plan.problem.grid), np.int64)
    for i, count in monitor.counts.items():
        counts[i] = count
    per_block, delays = np.zeros_like(counts), np.zeros_like(monitor.delays)
    comm.Reduce(counts, per_block)
    comm.Reduce(monitor.delays, delays)
    delays += job.past.delays
    return Record(
        monitor.history,
        per_block,
        setup.placement.owner,
        np.array(comm.gather(int(counts.sum())) or []),
        delays,
        comm.gather(outcome.times) or [],
        outcome.reason in (Reason.BUDGET, Reason.TOLERANCE),
        outcome.reason.name.lower(),
        job.shades,
        outcome.drifts,
    )


def _layout(setup: Setup, samples: int, drifts: int) -> Layout:
    """What the result file says of all images, with room for so much of each one's history."""
    plan, config, placement = setup.plan, setup.config, setup.placement
    grid = plan.problem.grid
    provenance: dict[str, Any] = {
        "parameters": {
            **config.as_json(),
            "sigma": plan.model.level,
            "start": plan.start,
            "tau": plan.tau,
        },
        "command": shlex.join(sys.argv),
        "input": str(plan.problem.path.resolve()),
        "input_sha256": plan.sha256,
        "kind": plan.problem.kind,
        "denoiser": plan.model.path.name,
        "halo": plan.model.field.halo,
        "halo_exact": plan.halo_exact,
        "block": list(grid.block_shape),
        "ranks": setup.everybody.size,
        "hosts": setup.hosts,
        "threads_per_rank": placement.threads,
        "providers": [provider.words for provider in setup.providers],
        "onnxruntime": onnxruntime.__version__,
        "mpi": MPI.Get_library_version().split("\n")[0].strip(" \0"),
    }
    if plan.problem.data.notes:
        provenance["notes"] = list(plan.problem.data.notes)
    return Layout(
        grid,
        plan.problem.data.dtype,
        setup.images,
        setup.everybody.size,
        samples,
        drifts,
        plan.problem.has_truth,
        provenance,
    )


def _write(setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> None:
    """Write an image: rank 0 writes, the others send it their blocks. Collective."""
    images: dict[str, Mapping[int, Any]] = {"data": outcome.final, "start": job.term.x0}
    if setup.plan.problem.has_truth:
        images["truth"] = job.truth
    grid, owner, dtype = (
        setup.plan.problem.grid,
        setup.placement.owner,
        setup.plan.problem.data.dtype,
    )
    streams = {
        name: gather_blocks(setup.comm, grid, owner, with_phases(blocks, job.term.phases), dtype)
        for name, blocks in images.items()
    }
    if setup.comm.rank != 0:
        for stream in streams.values():
            for _ in stream:
                pass
    elif len(setup.images) == 1:
        layout = _layout(setup, len(record.history), len(record.drifts))
        write_result(setup.config.output, layout, record, streams)
    else:
        with ResultFile(setup.config.output) as file:
            file.write(row, grid, record, streams)
        if record.complete and job.checkpoint:
            for path in (job.checkpoint, previous(job.checkpoint)):
                path.unlink(missing_ok=True)
    setup.comm.Barrier()
