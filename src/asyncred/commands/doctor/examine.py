"""The examination: its parts in their order, each within its limit, told by rank 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpi4py import MPI

from asyncred.commands.doctor import compute, latency, library, updates
from asyncred.commands.doctor.findings import Finding, Part, where
from asyncred.commands.doctor.limit import Limit
from asyncred.commands.doctor.storage import Storage
from asyncred.runtime.collective import idle
from asyncred.runtime.placement import place, spans_hosts

MEETING = 60.0
"""Seconds until all ranks must have met, and for what is left in the folder at the end."""


def doctor(comm: MPI.Intracomm, folder: Path, *, threads: int | None, progress_thread: str) -> int:
    """Examine everything that a run needs; 1 if anything is wrong, else 0. Collective over comm.

    ``threads`` and ``progress_thread`` are those of a run.
    """
    with Limit(MEETING, f"!!  MPI: the ranks do not meet within {MEETING:g} s"):
        placement = place(comm, comm.size, threads=threads)
        pairs = latency.pairs(comm, placement)
        storage = Storage(comm, folder)
    wanted = spans_hosts(comm) if progress_thread == "auto" else progress_thread == "on"
    ok = True
    parts: list[Part[Any]] = [
        *library.parts(comm, placement, thread_wanted=wanted),
        *latency.parts(comm, pairs, thread_wanted=wanted),
        *compute.parts(placement),
        *updates.parts(comm, placement.threads),
    ]
    for part in parts:
        ok = examine(comm, placement.hosts, part) and ok
    for part in storage.parts(placement.hosts):
        if not examine(comm, placement.hosts, part):
            ok = False
            break  # what follows builds on it
    with Limit(MEETING, f"!!  folder: {folder} cannot be cleared within {MEETING:g} s"):
        storage.clear()
    return 0 if ok else 1


def examine(comm: MPI.Intracomm, hosts: Sequence[str], part: Part[Any]) -> bool:
    """Do a part, print what it found; whether all is ok. Collective over comm."""
    place = where([comm.rank], hosts)
    late = f"not done within {part.limit:g} s"
    silent = part.collective and comm.rank != 0
    stuck = "" if silent else f"!!  {part.name}: {place}: {late}: what it asks for hangs"
    with Limit(part.limit, stuck) as limit:
        answer, error = _attempt(part)
        limit.wait(f"!!  {part.name}: some rank is {late}" if comm.rank == 0 else "")
        idle(comm)
        told = comm.gather((answer, error))
        ok = True
        if told is not None:
            for finding in _tell(part, told, hosts):
                print(finding, flush=True)
                ok = ok and finding.ok
        return bool(comm.bcast(ok))


def _attempt(part: Part[Any]) -> tuple[Any, str | None]:
    try:
        return part.measure(), None
    except Exception as error:  # whatever it is, it is what a run would meet
        return None, " ".join(str(error).split()) or type(error).__name__


def _tell(
    part: Part[Any], told: Sequence[tuple[Any, str | None]], hosts: Sequence[str]
) -> list[Finding]:
    """The findings of a part, or the errors of the ranks that had one."""
    ranks: dict[str, list[int]] = {}
    for rank, (_, error) in enumerate(told):
        if error is not None:
            ranks.setdefault(error, []).append(rank)
    if ranks:
        return [
            Finding(False, f"{part.name}: {where(found, hosts)}: {error}")
            for error, found in ranks.items()
        ]
    return part.tell([answer for answer, _ in told])
