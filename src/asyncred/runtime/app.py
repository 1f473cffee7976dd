"""The main job: builds the objects that a configuration asks for and runs them. The only wiring."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mpi4py import MPI

from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.provider import find_provider
from asyncred.errors import InputError
from asyncred.history import Reason
from asyncred.runtime.abort import abort
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.config import RunConfig
from asyncred.runtime.job import Setup, make_job
from asyncred.runtime.output import gather_record, open_stack, write_image
from asyncred.runtime.placement import neighbours, place, spans_hosts
from asyncred.runtime.plan import Plan, make_plan, truth_blocks
from asyncred.runtime.progress import Progress, Quiet, progress
from asyncred.runtime.reconstruct import reconstruct
from asyncred.runtime.report import say_image, say_notes, say_start
from asyncred.runtime.stopping import Signals
from asyncred.runtime.terms import read_term
from asyncred.shared import ProgressThread, Queue

EARLY = 75
"""The exit code of a run that stopped before its end, and can be resumed."""

DIVERGED = 4
"""The exit code of a run whose x is not finite: started again it would do the same.

No bitwise or of other codes, which is what MPICH's mpirun makes of those of different ranks.
"""

ABORT_SECONDS = 60
"""How long a rank waits for the end of a job that was aborted."""

EXIT_CODES = {Reason.SIGNAL: EARLY, Reason.DIVERGED: DIVERGED}


def run(config: RunConfig, everybody: MPI.Intracomm) -> int:
    """Reconstruct all images asked for, write the result and return the exit code.

    Collective over everybody. Raises InputError, the same on every rank, where the input is at
    fault; where that shows only in a later image, the job is aborted with one line.
    """
    plan = on_root(everybody, lambda: make_plan(config, everybody.size))
    comm = MPI.Intracomm(everybody.Split(everybody.rank // plan.ranks_per_image))
    blocks = len(plan.problem.grid)
    steal = config.steal == "on"
    placement = place(comm, blocks, threads=config.threads, everybody=everybody, steal=steal)
    node = neighbours(comm) if steal else None
    term = read_term(everybody, comm, node, plan, placement)
    on_all(everybody, lambda: truth_blocks(plan.problem, placement.own, plan.problem.images[0]))
    hosts = everybody.allgather(MPI.Get_processor_name())
    thread = _progress_thread(config, everybody)  # from here on the first image's input is fine
    provider = on_all(everybody, lambda: find_provider(config.provider, placement.local_rank))
    providers, threads = everybody.allgather(provider), placement.threads
    denoiser = on_all(
        everybody, lambda: OnnxDenoiser(plan.model, threads=threads, provider=provider)
    )
    draft = on_all(everybody, lambda: _draft(plan, threads))
    if everybody.rank == 0:
        say_start(plan, placement, providers, config, hosts)
    setup = Setup(
        config,
        everybody,
        comm,
        plan,
        placement,
        node,
        term,
        denoiser,
        draft,
        hosts,
        providers,
    )
    with ExitStack() as stack, Signals() as signals:
        if thread:
            stack.enter_context(ProgressThread(everybody))
        term.open(comm, stack)
        queue = stack.enter_context(Queue(everybody))
        code = _all_images(setup, queue, _heard_by_all(signals, queue))
    if node:
        node.Free()
    comm.Free()
    return code


def _draft(plan: Plan, threads: int) -> OnnxDenoiser | None:
    return OnnxDenoiser(plan.draft, threads=threads) if plan.draft else None


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
        on_root(setup.everybody, lambda: open_stack(setup))
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
    with _fatal(setup):
        job = make_job(setup, images[row], seconds)
    if comm.rank == 0:
        say_notes(job.notes)
    display = _display(setup, row) if setup.everybody.rank == 0 else Quiet()
    outcome = reconstruct(job, signalled, display.show)
    display.close()
    record = gather_record(setup, job, outcome)
    early = outcome.reason in (Reason.SIGNAL, Reason.TIME)
    put_down = job.checkpoint if early else None
    if put_down is None:
        write_image(setup, row, job, record, outcome)
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
            abort(setup.everybody, 2)
        time.sleep(ABORT_SECONDS)  # until the abort arrives


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
    return progress(setup.plan.budget, blocks, setup.config.max_time, title)
