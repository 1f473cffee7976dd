"""The main job: builds the objects that a configuration asks for and runs them. The only wiring."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpi4py import MPI

from asyncred.async_red import async_red
from asyncred.collective import gather_blocks, on_all, on_root
from asyncred.config import InputError, RunConfig
from asyncred.coupling import Coupling
from asyncred.denoiser import OnnxDenoiser
from asyncred.grid import region_shape
from asyncred.instrument import SlowedRed, TimedDenoiser, TimedOperator, Times
from asyncred.monitor import SUMS, Reference, RunMonitor, Tolerance
from asyncred.operators import Coupled, Image, Operator
from asyncred.placement import Placement, place
from asyncred.plan import Plan, make_plan, start_blocks, stored_blocks, truth_blocks
from asyncred.problem import BlockRandomData
from asyncred.progress import progress
from asyncred.red import RedOperator
from asyncred.report import say_end, say_start
from asyncred.result import Record, write_result
from asyncred.sampling import EpochOrder, FullBatch, RandomRows, UniformOrder
from asyncred.serial_red import LocalImage, bc_red, gm_red
from asyncred.shared import Counters, ProgressThread, SharedImage, SharedResidual
from asyncred.stepsize import AdaptiveStep, DecayingStep, FixedStep, SafeStep, Step
from asyncred.stopping import AsyncStop, Reason, Signals, SyncStop
from asyncred.sync_red import sync_red

AnyImage = SharedImage | LocalImage

ALGORITHMS: Mapping[str, Callable[..., None]] = {
    "async": async_red,
    "sync": sync_red,
    "bc": bc_red,
    "gm": gm_red,
}
EXIT_CODES = {Reason.SIGNAL: 75, Reason.DIVERGED: 1}
CLAIM = 32
"""Updates of the budget that a rank claims at once, at least."""


@dataclass(frozen=True)
class Setup:
    """What one rank works with."""

    config: RunConfig
    comm: MPI.Intracomm
    plan: Plan
    placement: Placement
    A: Operator
    coupling: Coupling | None
    """What couples the blocks of A, if anything does."""
    G: RedOperator
    times: Times
    x0: Mapping[int, Image]
    truth: Mapping[int, Image]

    @property
    def budget(self) -> int:
        """Block updates of the whole run."""
        return self.config.budget(len(self.G.grid))


def run(config: RunConfig, comm: MPI.Intracomm) -> int:
    """Run one reconstruction, write its result and return the exit code. Collective over comm.

    Raises InputError, the same on every rank, where the input is at fault.
    """
    plan = on_root(comm, lambda: make_plan(config, comm.size))
    placement = place(comm, len(plan.problem.grid), threads=config.threads)
    if comm.rank == 0:
        say_start(plan, placement, config)
    with ExitStack() as stack, Signals() as signals:
        if _progress_thread(config, placement):
            stack.enter_context(ProgressThread(comm))
        setup = set_up(config, comm, plan, placement, stack)
        counters = stack.enter_context(Counters(comm, sums=SUMS))
        x = stack.enter_context(_image(setup, counters))
        reference = _reference(setup, x)
        display = (
            progress(setup.budget, reference.blocks, config.max_time) if comm.rank == 0 else None
        )
        monitor = RunMonitor(
            counters,
            reference,
            truth=setup.truth,
            tolerance=Tolerance(config.tol, config.tol_distance),
            interval=config.report,
            on_sample=display.show if display else lambda sample: None,
        )
        reason, times, drifts = _iterate(setup, x, counters, monitor, signals)
        _close_history(setup, x, monitor, reference, reason)
        if display:
            display.show(monitor.history[-1])
            display.close()
        record = _gather_record(setup, monitor, times, reason, drifts)
        final = {i: x.block(i) for i in setup.placement.own}
        _write(setup, record, final)
    if comm.rank == 0:
        say_end(config.output, record)
    return EXIT_CODES.get(reason, 0)


def set_up(
    config: RunConfig, comm: MPI.Intracomm, plan: Plan, placement: Placement, stack: ExitStack
) -> Setup:
    """Read the measurements and build the operators of this rank. Collective over comm.

    What must be freed goes on the stack. Raises InputError on every rank.
    """
    grid, own, times = plan.problem.grid, placement.own, Times()
    truth = on_all(comm, lambda: truth_blocks(plan.problem, own))
    A, x0, coupling = _data_term(comm, plan, placement, stack)
    D = TimedDenoiser(OnnxDenoiser(plan.model, threads=placement.threads), times)
    factor = dict(config.slow).get(comm.rank, 1.0)
    G = (
        SlowedRed(grid, TimedOperator(A, times), D, tau=config.tau, factor=factor, times=times)
        if factor > 1
        else RedOperator(grid, TimedOperator(A, times), D, tau=config.tau)
    )
    return Setup(config, comm, plan, placement, A, coupling, G, times, x0, truth)


def _data_term(
    comm: MPI.Intracomm, plan: Plan, placement: Placement, stack: ExitStack
) -> tuple[Operator, Mapping[int, Image], Coupling | None]:
    """The data term of the own blocks, where they start, and what couples them. Collective."""
    data, grid, own = plan.problem.data, plan.problem.grid, placement.own
    if isinstance(data, BlockRandomData):
        local = on_all(comm, lambda: data.operator(own, threads=placement.threads))
        return local, on_all(comm, lambda: start_blocks(plan.start, grid, local, own)), None
    model = data.model(threads=placement.threads)
    bounds = [k * model.groups // comm.size for k in (comm.rank, comm.rank + 1)]
    on_all(comm, lambda: data.y(range(*bounds)))  # NaN in it is found here
    residual = stack.enter_context(SharedResidual(comm, model, far=placement.far))
    shapes = {i: region_shape(grid.block(i)) for i in own}
    coupling = Coupling(residual, model, data, shapes)
    A = coupling.operator()
    if plan.start == "fbp":
        x0 = coupling.filtered_backprojection()
    elif plan.start == "adjoint":
        x0 = coupling.backprojection()
    elif plan.start == "zero":
        x0 = {i: np.zeros(shape, np.float32) for i, shape in shapes.items()}
    else:
        x0 = on_all(comm, lambda: stored_blocks(plan.start, grid, own))
    coupling.refresh(x0)
    return A, x0, coupling


def _progress_thread(config: RunConfig, placement: Placement) -> bool:
    """Whether a progress thread is wanted. Raises InputError where the MPI library forbids it."""
    asked = config.progress_thread
    wanted = placement.spans_hosts if asked == "auto" else asked == "on"
    if wanted and MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise InputError(
            "this MPI library gives no MPI_THREAD_MULTIPLE, which the progress thread needs; "
            "--progress-thread off runs without, and waits for ranks of other hosts"
        )
    return wanted


@contextmanager
def _image(setup: Setup, counters: Counters) -> Iterator[AnyImage]:
    """x in the form that the method works on. Collective."""
    grid = setup.G.grid
    if setup.config.method in ("gm", "bc"):
        whole = np.zeros(grid.shape, np.float32)
        for i, block in setup.x0.items():
            whole[grid.block(i)] = block
        yield LocalImage(grid, whole, halo=setup.G.halo, align=setup.G.align)
        return
    with SharedImage(
        setup.comm,
        grid,
        setup.placement.owner,
        halo=setup.G.halo,
        align=setup.G.align,
        x0=setup.x0.__getitem__,
        counters=counters,
        far=setup.placement.far,
    ) as shared:
        yield shared


def _reference(setup: Setup, x: AnyImage) -> Reference:
    """||G(x0)||^2 and ||truth||^2. Collective."""
    truth = sum(float(np.sum(np.square(block))) for block in setup.truth.values())
    total = setup.comm.allreduce(truth)
    has_truth = setup.plan.problem.has_truth
    return Reference(len(setup.G.grid), _G_square(setup, x), total if has_truth else None)


def _G_square(setup: Setup, x: AnyImage) -> float:
    """||G(x)||^2 with all measurements. Collective: nobody writes meanwhile."""
    own = 0.0
    G = RedOperator(setup.G.grid, setup.A, setup.G.D, tau=setup.config.tau)  # never slowed
    for i in setup.placement.own:
        own += float(np.sum(np.square(G.block(i, x.fresh(i)))))
    return float(setup.comm.allreduce(own))


def _iterate(
    setup: Setup, x: AnyImage, counters: Counters, monitor: RunMonitor, signals: Signals
) -> tuple[Reason, Times, list[float]]:
    """Run the algorithm on this rank. Collective.

    Why all ranks stopped, its times, and the drift of the residual at each renewal.
    """
    config, comm, own = setup.config, setup.comm, setup.placement.own
    rngs = [np.random.default_rng([config.seed, comm.rank, purpose]) for purpose in (0, 1)]
    order = (EpochOrder if config.order == "epoch" else UniformOrder)(own, rngs[0])
    minibatch = FullBatch() if config.minibatch is None else RandomRows(config.minibatch, rngs[1])
    step = _step(setup)
    comm.Barrier()  # all clocks start together
    stop = _stop(setup, counters, signals)
    setup.times.reset()
    monitor.begin()
    loop, reason, drifts = 0.0, Reason.BUDGET, []
    at_once = len(setup.G.grid) if config.method == "gm" else 1  # updates between two questions
    for leg in _legs(setup):
        stop.until(-(-leg // at_once))
        start = time.perf_counter()
        ALGORITHMS[config.method](
            setup.G, x, order=order, minibatch=minibatch, step=step, stop=stop, monitor=monitor
        )
        loop += time.perf_counter() - start
        reason = Reason(comm.allreduce(int(stop.reason or 0), MPI.MAX))
        if setup.coupling:
            drifts.append(setup.coupling.refresh({i: x.block(i) for i in own}))
        if reason is not Reason.BUDGET:
            break
    return reason, replace(setup.times, loop=loop), drifts


def _legs(setup: Setup) -> list[int]:
    """Updates after which A x - y is computed anew; the budget is the last of them."""
    budget, b = setup.budget, len(setup.G.grid)
    every = round(setup.config.refresh * b)
    if setup.coupling is None or every == 0:
        return [budget]
    return [*range(every, budget, every), budget]


def _stop(setup: Setup, counters: Counters, signals: Signals) -> AsyncStop | SyncStop:
    """What stops this rank; its budget is told later."""
    config = setup.config
    if config.method == "sync":
        return SyncStop(setup.comm, counters, updates=0, seconds=config.max_time, signalled=signals)
    return AsyncStop(
        counters,
        updates=0,
        most=max(CLAIM, len(setup.placement.own)),
        seconds=config.max_time,
        signalled=signals,
    )


def _step(setup: Setup) -> Step:
    step, decay = _constant_step(setup), setup.config.decay
    return step if decay is None else DecayingStep(step, epochs=decay)


def _constant_step(setup: Setup) -> Step:
    config, b = setup.config, len(setup.G.grid)
    if not isinstance(config.step, str):
        return FixedStep(config.step)
    L = {i: setup.A.lipschitz(i, config.minibatch) for i in setup.placement.own}
    coupling = 0.0
    if isinstance(setup.A, Coupled):
        coupling = setup.A.coupling(config.minibatch)
        together = {"gm": b, "sync": setup.comm.size}.get(config.method, 1)
        L = {i: min(coupling, together * L_i) for i, L_i in L.items()}
    if config.step == "safe":
        L = {i: max(coupling, L_i) for i, L_i in L.items()}
        return SafeStep(L, tau=config.tau, b=b, delay_bound=setup.comm.size - 1)
    return AdaptiveStep(L, tau=config.tau, b=b, coupling=coupling)


def _close_history(
    setup: Setup, x: AnyImage, monitor: RunMonitor, reference: Reference, reason: Reason
) -> None:
    """End with the exact distance of the final x, unless the run ended in haste. Collective."""
    setup.comm.Barrier()
    monitor.end()
    distance = None
    if reason in (Reason.BUDGET, Reason.TOLERANCE) and reference.G0_square:
        distance = _G_square(setup, x) / reference.G0_square
    if setup.comm.rank == 0:
        monitor.close(distance)


def _gather_record(
    setup: Setup, monitor: RunMonitor, times: Times, reason: Reason, drifts: list[float]
) -> Record:
    """What the result file says; meant on rank 0 only. Collective."""
    comm, plan, config = setup.comm, setup.plan, setup.config
    counts = np.zeros(len(setup.G.grid), np.int64)
    for i, count in monitor.counts.items():
        counts[i] = count
    per_block, delays = np.zeros_like(counts), np.zeros_like(monitor.delays)
    comm.Reduce(counts, per_block)
    comm.Reduce(monitor.delays, delays)
    provenance: dict[str, Any] = {
        "parameters": {**config.as_json(), "sigma": plan.model.level, "start": plan.start},
        "command": shlex.join(sys.argv),
        "input": str(plan.problem.path.resolve()),
        "input_sha256": plan.sha256,
        "denoiser": plan.model.path.name,
        "halo": plan.model.field.halo,
        "halo_exact": plan.halo_exact,
        "ranks": comm.size,
        "hosts": setup.placement.hosts,
        "threads_per_rank": setup.placement.threads,
        "mpi": MPI.Get_library_version().split("\n")[0].strip(" \0"),
        "stopped": reason.name.lower(),
        "residual_drift": drifts,
    }
    return Record(
        monitor.history,
        per_block,
        setup.placement.owner,
        delays,
        comm.gather(times) or [],
        reason in (Reason.BUDGET, Reason.TOLERANCE),
        provenance,
    )


def _write(setup: Setup, record: Record, final: Mapping[int, Image]) -> None:
    """Write the result: rank 0 writes, the others send it their blocks. Collective."""
    images = {"data": final, "start": setup.x0}
    if setup.plan.problem.has_truth:
        images["truth"] = setup.truth
    streams = {
        name: gather_blocks(setup.comm, setup.G.grid, setup.placement.owner, blocks)
        for name, blocks in images.items()
    }
    if setup.comm.rank == 0:
        write_result(setup.config.output, setup.G.grid, record, streams)
    else:
        for stream in streams.values():
            for _ in stream:
                pass
    setup.comm.Barrier()
