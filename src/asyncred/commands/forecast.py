"""What a job will take, from a try on this machine: what is exchanged, memory and time."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from asyncred.commands.footprint import process_bytes
from asyncred.denoisers.onnx import Denoiser, DenoiserModel, OnnxDenoiser
from asyncred.denoisers.values import Complex, Parts
from asyncred.files.problem import CoupledData, LocalData, Problem
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Rows
from asyncred.red.sampling import FullBatch, RandomRows
from asyncred.runtime.config import EPOCHS
from asyncred.runtime.updates import terms_of_data

TRIES = 5
LISTED = 8
"""Ranks that are told one by one."""


@dataclass(frozen=True)
class Cost:
    """Of one update with one thread, tried out here."""

    denoiser: float
    """Seconds for the largest window."""
    gradient: float
    """Seconds for a full block."""
    halo: int
    """Pixels around a block that are read."""
    residual: int
    """Bytes of the residual that are read, and again added to, where the blocks are coupled."""


@dataclass(frozen=True)
class Job:
    """What is to be forecast."""

    problem: Problem
    model: DenoiserModel
    owner: Sequence[int]
    """The rank of each block."""
    ranks: int
    per_node: int
    minibatch: int | None

    @property
    def grid(self) -> BlockGrid:
        """The image and its blocks."""
        return self.problem.grid


def forecast(job: Job) -> list[str]:
    """Lines. Raises ValueError where the data term or the denoiser cannot be tried."""
    cost = try_update(job)
    memory, node = memory_lines(job)
    return [
        *exchange_lines(job, cost),
        memory,
        *time_lines(job, cost),
        *(f"warning: {words}" for words in warnings(job, node)),
    ]


def largest_window(grid: BlockGrid, model: DenoiserModel) -> tuple[int, int]:
    """Of all the windows that the denoiser sees."""
    shapes = (grid.window(i, model.field.halo, model.field.align).shape for i in range(len(grid)))
    return max(shapes, key=math.prod)


def try_update(job: Job) -> Cost:
    """One denoiser window and one data gradient, some times."""
    data, model = job.problem.data, job.model
    minibatch = FullBatch() if job.minibatch is None else RandomRows(job.minibatch, [0])
    D: Denoiser = OnnxDenoiser(model, threads=1)
    if np.dtype(data.dtype).kind == "c":
        D = Complex(D) if model.roles.planes == 2 else Parts(D)
    x = np.full(largest_window(job.grid, model), 0.5, data.dtype)
    i = max(range(len(job.grid)), key=lambda i: math.prod(region_shape(job.grid.block(i))))
    halo, residual = model.field.halo, 0
    if isinstance(data, LocalData):
        A = data.operator([i], threads=1)
        rows = minibatch.draw(A.measurements(i))
        x_i = np.zeros(job.grid.window(i, A.halo).shape, data.dtype)
        gradient = seconds(lambda: A.gradient(i, x_i, rows))
        halo = max(halo, A.halo)
    else:
        rows = minibatch.draw(data.groups)
        gradient, residual = _coupled(data, i, rows)
    return Cost(seconds(lambda: D(x)), gradient, halo, residual)


def _coupled(data: CoupledData, i: int, rows: Rows | None) -> tuple[float, int]:
    """Seconds of an adjoint and a forward of a block, bytes of the residual that they touch."""
    model = data.model([i], threads=1)
    width = model.footprint(i).width
    r = np.zeros((model.groups if rows is None else rows.size, width), np.float32)
    delta = np.zeros(region_shape(data.grid.block(i)), model.dtype)
    back = seconds(lambda: model.adjoint(i, r, rows))
    return back + seconds(lambda: model.forward(i, delta, None)), 4 * model.groups * width


def exchange_lines(job: Job, cost: Cost) -> list[str]:
    """The halos that lie with other ranks, rank by rank if these are few; the residual."""
    halos = rank_halos(job, cost.halo)
    pixel = np.dtype(job.problem.data.dtype).itemsize
    kib = [pixel * pixels / 1024 for pixels, _ in halos]
    lines = [
        f"exchange: to update all of its blocks a rank reads {min(kib):.3g} to {max(kib):.3g} KiB "
        "of halo from other ranks"
    ]
    if cost.residual:
        lines[0] += (
            f"; each update reads and changes {cost.residual / 1024:.3g} KiB of the shared residual"
        )
    if 1 < job.ranks <= LISTED:
        for rank, (_, others) in enumerate(halos):
            own = [i for i, owner in enumerate(job.owner) if owner == rank]
            lines.append(
                f"  rank {rank}: {len(own)} block(s), {own[0]} to {own[-1]}; {kib[rank]:.3g} KiB "
                f"of halo from {others} rank(s)"
            )
    return lines


def rank_halos(job: Job, halo: int) -> list[tuple[int, int]]:
    """Of each rank: the pixels that a pass over its blocks reads of others, and of how many."""
    pixels = [0] * job.ranks
    others: list[set[int]] = [set() for _ in range(job.ranks)]
    for i, rank in enumerate(job.owner):
        window = job.grid.window(i, halo, job.model.field.align)
        for part in job.grid.overlaps(window.region):
            if job.owner[part.block] != rank:
                pixels[rank] += math.prod(region_shape(part.in_block))
                others[rank].add(job.owner[part.block])
    return [(count, len(ranks)) for count, ranks in zip(pixels, others, strict=True)]


def memory_lines(job: Job) -> tuple[str, int]:
    """In words, and the bytes of a node."""
    blocks = max(job.owner.count(rank) for rank in range(job.ranks))
    data = job.problem.data.bytes_of(blocks)
    process = process_bytes(job.model, largest_window(job.grid, job.model))
    node = job.per_node * (data + process)
    return (
        f"memory: at most {_size(data + process)} a rank, {_size(node)} on a node of "
        f"{job.per_node} rank(s); {_size(process)} of a rank are the process with its denoiser, as "
        "measured here, without what MPI takes"
    ), node


def time_lines(job: Job, cost: Cost) -> list[str]:
    """Of an update, of an epoch and of the default budget, on ranks like this core.

    The budget is one of all ranks, so an epoch of b updates takes b / ranks of them in turn.
    """
    grid, model = job.grid, job.model
    windows = (grid.window(i, model.field.halo, model.field.align).shape for i in range(len(grid)))
    blocks = (region_shape(grid.block(i)) for i in range(len(grid)))
    largest = math.prod(largest_window(grid, model))
    D = cost.denoiser * sum(map(math.prod, windows)) / largest
    A = cost.gradient * sum(map(math.prod, blocks)) / math.prod(grid.block_shape)
    terms = terms_of_data(job.problem.data) if job.minibatch is None else 1
    times = f"{terms} times " if terms > 1 else ""
    epoch, images = (D + terms * A) / job.ranks, len(job.problem.images)
    lines = [
        f"time: {1e3 * (cost.denoiser + terms * cost.gradient):.3g} ms an update (denoiser "
        f"{1e3 * cost.denoiser:.3g} ms, {times}data term {1e3 * cost.gradient:.3g} ms), "
        f"{_duration(epoch)} an epoch on {job.ranks} rank(s); measured here with 1 thread a rank",
        f"  at most {_duration(EPOCHS * epoch)} for {EPOCHS} epochs, without start and exchange; "
        "most runs end earlier, by --tol",
    ]
    if images > 1:
        lines[1] += f"; {_duration(images * EPOCHS * epoch)} for {images} images"
    return lines


def warnings(job: Job, node_bytes: int) -> list[str]:
    """What will make the job slow, or end it."""
    found = []
    cores = len(os.sched_getaffinity(0))
    if job.per_node > cores:
        found.append(
            f"{job.per_node} ranks on a node: a node like this has {cores} core(s), on which they "
            "would take turns; --ranks-per-node tells how many ranks a node gets"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if node_bytes > memory:
        found.append(f"a node like this has {_size(memory)} of memory")
    window, block = (
        math.prod(shape) for shape in (largest_window(job.grid, job.model), job.grid.block_shape)
    )
    if window > 2 * block:
        found.append(
            f"the halo is larger than the block ({window - block} and {block} pixels): the "
            "denoiser spends more time on the halo than on the block; take larger blocks"
        )
    if job.minibatch is not None and job.minibatch < job.problem.data.groups:
        found.append(
            f"minibatches of {job.minibatch} of {job.problem.data.groups} measurements keep the "
            "image jittering about the solution; --decay EPOCHS calms it"
        )
    return found


def seconds(work: Callable[[], object]) -> float:
    """The quickest of some calls, after one that does not count: others only ever add time."""
    work()
    found = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def _size(count: float) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def _duration(span: float) -> str:
    units = {"days": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}
    name = next((name for name, unit in units.items() if span >= 2 * unit), "ms")
    return f"{span / units[name]:.3g} {name}"
