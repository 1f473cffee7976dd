"""The main job, one line a step: builds the objects that a configuration asks for and runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.provider import find_provider
from asyncred.denoisers.values import Equivariant
from asyncred.errors import BadImage, InputError
from asyncred.history import Reason
from asyncred.runtime import windows
from asyncred.runtime.abort import abort
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.comm import Comm, several_threads
from asyncred.runtime.config import RunConfig
from asyncred.runtime.exit_codes import DIVERGED, NOT_WRITTEN, PUT_DOWN
from asyncred.runtime.job import Denoisers, Job, Setup, make_job
from asyncred.runtime.output import gather_record
from asyncred.runtime.owner import owned
from asyncred.runtime.placement import Team, form_team, spans_hosts
from asyncred.runtime.plan import Plan, make_plan, truth_blocks
from asyncred.runtime.reconstruct import reconstruct
from asyncred.runtime.report import Terminal, Watch
from asyncred.runtime.results import FileResults, Results
from asyncred.runtime.stopping import Signals
from asyncred.runtime.terms import read_term

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyQueue

TURNS = 19
"""Keeps the random turns of an equivariant denoiser apart from other random numbers of a rank."""

ABORT_SECONDS = 60
"""How long a rank waits for the end of a job that was aborted."""

EXIT_CODES = {Reason.SIGNAL: PUT_DOWN, Reason.CALLBACK: PUT_DOWN, Reason.DIVERGED: DIVERGED}


def run(config: RunConfig, everybody: Comm) -> int:
    """Reconstruct all images asked for, write the result and return the exit code.

    Collective over everybody. Raises InputError, the same on every rank, where the input is at
    fault; where that shows only in a later image, the job is aborted with one line.
    """
    with owned(config.files, everybody):
        plan = on_root(everybody, lambda: make_plan(config, everybody.size, files=config.files))
        return carry_out(config, plan, everybody, FileResults(), Terminal())


def carry_out(
    config: RunConfig, plan: Plan, everybody: Comm, results: Results, watch: Watch
) -> int:
    """Reconstruct all images of a checked plan; the exit code. Collective over everybody."""
    machine, blocks = config.machine, len(plan.problem.grid)
    steal, together = machine.steal == "on", plan.ranks_per_image
    team = form_team(everybody, together, blocks, threads=machine.threads, steal=steal)
    # A copy on another node has an identity of its own.
    now = on_all(everybody, plan.inputs.again)
    inputs = plan.inputs if everybody.rank == 0 else now
    term = read_term(plan, team)
    on_all(everybody, lambda: truth_blocks(plan.problem, team.placement.own, plan.first_image))
    thread = _progress_thread(machine.progress_thread, everybody)
    denoisers = _start_denoisers(config, plan, team)
    setup = Setup(config, plan, team, term, denoisers, inputs)
    watch.begins(setup)
    with ExitStack() as stack, Signals() as signals:
        stack.enter_context(windows.progress_thread(everybody, thread))
        term.open(stack)
        queue = windows.queue(stack, everybody)
        results.open(setup)
        stack.callback(results.close)
        code = _all_images(setup, queue, _heard_by_all(signals, watch, queue), results, watch)
    team.free()
    return code


def _start_denoisers(config: RunConfig, plan: Plan, team: Team) -> Denoisers:
    """The sessions of this rank. Collective. Raises InputError."""
    everybody, threads, asked = team.everybody, team.placement.threads, config.denoiser.provider
    provider = on_all(everybody, lambda: find_provider(asked, team.placement.local_rank))
    main = on_all(everybody, lambda: OnnxDenoiser(plan.model, threads=threads, provider=provider))
    draft = on_all(
        everybody, lambda: OnnxDenoiser(plan.draft, threads=threads) if plan.draft else None
    )
    providers = everybody.allgather(provider)
    if not config.denoiser.equivariant:
        return Denoisers(main, draft, providers)
    rng = np.random.default_rng([config.update.seed, everybody.rank, TURNS])
    turned = Equivariant(main, rng)
    return Denoisers(turned, Equivariant(draft, rng) if draft else None, providers)


def _heard_by_all(signals: Signals, watch: Watch, queue: AnyQueue) -> Callable[[], int]:
    """Why to stop: any rank, of any group, was signalled, or who watches wants no more; else 0."""

    def signalled() -> int:
        asked = Reason.SIGNAL if signals() else Reason.CALLBACK if watch.stopped() else 0
        if asked and not queue.stopped():
            queue.raise_stop(asked)
        return queue.stopped()

    return signalled


def _all_images(
    setup: Setup, queue: AnyQueue, signalled: Callable[[], int], results: Results, watch: Watch
) -> int:
    """Images from the queue, each handed on when it is done. Collective. The exit code."""
    config, comm, images = setup.config, setup.team.comm, setup.images
    deadline = time.monotonic() + config.stopping.max_time
    code, early, left_out = 0, False, []
    while not early and (row := _next_row(comm, queue)) < len(images):
        if setup.plan.done[row]:
            results.there(setup, row)
            continue
        with _fatal(setup):
            job = _job_of(setup, row, deadline - time.monotonic(), results, watch)
        if job is None:
            left_out.append(images[row])
            continue
        watch.notes(setup, job.notes)
        with watch.image(setup, row) as show:
            outcome = reconstruct(job, signalled, show)
        record = gather_record(setup, job, outcome)
        early = outcome.ending.reason in (Reason.SIGNAL, Reason.CALLBACK, Reason.TIME)
        put_down = job.checkpoint if early and outcome.put_down else None
        code = max(code, results.put(setup, row, job, record, outcome))
        watch.image_ends(setup, row, record, put_down)
        to_be_resumed = put_down or (early and len(images) > 1)
        code = max(code, EXIT_CODES.get(outcome.ending.reason, 0), PUT_DOWN if to_be_resumed else 0)
    everybody = setup.team.everybody
    code = int(max(everybody.allgather(code)))
    missing = {image for some in everybody.allgather(left_out) for image in some}
    if code != NOT_WRITTEN:
        watch.wrote(setup, sorted(missing))
    return code


def _job_of(setup: Setup, row: int, seconds: float, results: Results, watch: Watch) -> Job | None:
    """The work on an image of the stack; None where it is left out, which is said. Collective.

    Raises InputError.
    """
    try:
        return make_job(setup, setup.images[row], seconds)
    except BadImage as error:
        if len(setup.images) == 1:
            raise
        results.leave_out(setup, row, str(error))
        watch.left_out(setup, row, str(error))
        return None


def _next_row(comm: Comm, queue: AnyQueue) -> int:
    """The row of the image that is next for this group. Collective over comm."""
    return int(comm.bcast(queue.take() if comm.rank == 0 else None))


@contextmanager
def _fatal(setup: Setup) -> Iterator[None]:
    """Where groups work on images of their own, wrong input of one of them ends the job."""
    comm, everybody = setup.team.comm, setup.team.everybody
    try:
        yield
    except InputError as error:
        if comm.size == everybody.size:
            raise
        if comm.rank == 0:
            Terminal.says_last_words(error)
            abort(everybody, 2)
        time.sleep(ABORT_SECONDS)  # until the abort arrives


def _progress_thread(asked: str, comm: Comm) -> bool:
    """Whether a progress thread is wanted. Raises InputError where the MPI library forbids it."""
    wanted = spans_hosts(comm) if asked == "auto" else asked == "on"
    if wanted and not several_threads(comm):
        raise InputError(
            "this MPI library gives no MPI_THREAD_MULTIPLE, which the progress thread needs; "
            "--progress-thread off runs without, and waits for ranks of other hosts"
        )
    return wanted
