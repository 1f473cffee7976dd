"""What a run leaves in its result file: gathered from the ranks, written by one of them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from mpi4py import MPI

from asyncred.denoisers.values import with_phases
from asyncred.files.checkpoint import previous
from asyncred.files.problem.plausible import marked
from asyncred.files.result import SAMPLES, Layout, Record, ResultFile, create_result, write_result
from asyncred.history import Reason
from asyncred.runtime.collective import gather_blocks
from asyncred.runtime.job import Job, Setup
from asyncred.runtime.reconstruct import Outcome, legs
from asyncred.runtime.terms import CoupledTerm


def open_stack(setup: Setup) -> None:
    """Make the result of a stack, unless one is there to go on with."""
    config, grid = setup.config, setup.plan.problem.grid
    if config.resume is None or not config.output.exists():
        coupled = isinstance(setup.term, CoupledTerm)
        renewals = legs(setup.plan.budget, config.refresh, len(grid), coupled=coupled)
        drifts = len(renewals) if coupled else 0
        create_result(config.output, _layout(setup, SAMPLES, drifts))


def gather_record(setup: Setup, job: Job, outcome: Outcome) -> Record:
    """What the result file says of an image; meant on rank 0 only. Collective."""
    comm, monitor = setup.comm, outcome.monitor
    counts = np.zeros(len(setup.plan.problem.grid), np.int64)
    for i, count in monitor.counts.items():
        counts[i] = count
    drafted = np.zeros_like(counts)
    for i in setup.placement.own:
        drafted[i] = outcome.drafts[i][0]
    per_block, drafts, delays = (np.zeros_like(part) for part in (counts, counts, monitor.delays))
    comm.Reduce(counts, per_block)
    comm.Reduce(drafted, drafts)
    comm.Reduce(monitor.delays, delays)
    delays += job.past.delays
    return Record(
        monitor.history,
        per_block,
        drafts,
        setup.placement.owner,
        np.array(comm.gather(int(counts.sum())) or []),
        delays,
        comm.gather(outcome.times) or [],
        outcome.reason in (Reason.BUDGET, Reason.TOLERANCE),
        outcome.reason.name.lower(),
        job.shades,
        outcome.drifts,
        min(comm.gather(outcome.relaxation) or [outcome.relaxation]),
    )


def _layout(setup: Setup, samples: int, drifts: int, notes: Sequence[str] = ()) -> Layout:
    """What the result file says of all images, with room for so much of each one's history.

    ``notes`` are those that came up after the start.
    """
    plan, config, placement = setup.plan, setup.config, setup.placement
    grid = plan.problem.grid
    provenance: dict[str, Any] = {
        "parameters": {
            **config.as_json(),
            "sigma": plan.model.level,
            "start": plan.start,
            "tau": plan.tau,
            "update": "proximal" if plan.proximal else "gradient",
            "mu": plan.proximal.mu if plan.proximal else None,
            "momentum": plan.proximal.momentum if plan.proximal else None,
            "tol": plan.tol,
            "draft": plan.draft.path.stem if plan.draft else "none",
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
    notes = [*plan.problem.data.notes, *marked(plan.doubts), *notes]
    if notes:
        provenance["notes"] = notes
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


def write_image(setup: Setup, row: int, job: Job, record: Record, outcome: Outcome) -> None:
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
        layout = _layout(setup, len(record.history), len(record.drifts), job.notes)
        write_result(setup.config.output, layout, record, streams)
    else:
        with ResultFile(setup.config.output) as file:
            file.write(row, grid, record, streams)
        if record.complete and job.checkpoint:
            for path in (job.checkpoint, previous(job.checkpoint)):
                path.unlink(missing_ok=True)
    setup.comm.Barrier()
