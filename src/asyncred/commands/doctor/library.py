"""The MPI library, the ranks and the cores that they may run on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpi4py
from mpi4py import MPI

from asyncred.commands.doctor.findings import Finding, Part, alike, numbers
from asyncred.runtime.placement import Placement

LEVELS = {
    MPI.THREAD_SINGLE: "THREAD_SINGLE",
    MPI.THREAD_FUNNELED: "THREAD_FUNNELED",
    MPI.THREAD_SERIALIZED: "THREAD_SERIALIZED",
    MPI.THREAD_MULTIPLE: "THREAD_MULTIPLE",
}
LIMIT = 60.0


@dataclass(frozen=True)
class Cores:
    """The cores of one rank."""

    host: str
    allowed: frozenset[int]
    """Those that it may run on."""
    installed: int
    """Those of its host."""
    threads: int
    """Those that it would start."""
    per_task: int | None
    """CPUs that SLURM gives each task, where it says so."""
    on_node: int | None
    """CPUs of the host that SLURM gives the job, where it says so."""


def parts(comm: MPI.Intracomm, placement: Placement, *, thread_wanted: bool) -> list[Part[Any]]:
    """MPI itself; the cores."""
    hosts = placement.hosts
    return [
        Part("MPI", LIMIT, _library, lambda told: tell_library(told, hosts)),
        Part("threads of MPI", LIMIT, _level, lambda told: tell_level(told, hosts, thread_wanted)),
        Part("cores", LIMIT, lambda: cores(placement, comm.rank), tell_cores),
    ]


def _library() -> str:
    name = MPI.Get_library_version().replace("\0", "").split("\n")[0]
    version = ".".join(map(str, MPI.Get_version()))
    return f"{' '.join(name.split())}, standard {version}, mpi4py {mpi4py.__version__}"


def tell_library(told: Sequence[str], hosts: Sequence[str]) -> list[Finding]:
    """One library for all, or none fits the other."""
    found = alike(told, hosts)
    if len(found) > 1:
        return [Finding(False, f"MPI: {'; '.join(found)}: load the same library everywhere")]
    return [Finding(True, f"MPI: {found[0]}")]


def _level() -> int:
    return MPI.Query_thread()


def tell_level(told: Sequence[int], hosts: Sequence[str], thread_wanted: bool) -> list[Finding]:
    """THREAD_MULTIPLE is what the progress thread needs."""
    found = "; ".join(alike([LEVELS[level] for level in told], hosts))
    if min(told) >= MPI.THREAD_MULTIPLE:
        return [Finding(True, f"threads of MPI: {found}")]
    return [
        Finding(
            not thread_wanted,
            f"threads of MPI: {found}: no progress thread, which runs on several hosts need; load "
            "an MPI library built with MPI_THREAD_MULTIPLE",
        )
    ]


def cores(placement: Placement, rank: int) -> Cores:
    """Of this rank."""
    return Cores(
        placement.hosts[rank],
        frozenset(os.sched_getaffinity(0)),
        os.cpu_count() or 1,
        placement.threads,
        _number("SLURM_CPUS_PER_TASK"),
        _number("SLURM_CPUS_ON_NODE"),
    )


def tell_cores(told: Sequence[Cores]) -> list[Finding]:
    """Ranks and cores, host by host."""
    hosts = [cores.host for cores in told]
    findings = []
    for host in dict.fromkeys(hosts):
        ranks = [rank for rank, name in enumerate(hosts) if name == host]
        findings.append(_tell_host(host, {rank: told[rank] for rank in ranks}))
    threads = "; ".join(alike([f"{cores.threads}" for cores in told], hosts))
    said = f"ranks: {len(told)} on {len(set(hosts))} host(s), threads of each: {threads}"
    return [Finding(True, said), *findings]


def _tell_host(host: str, ranks: dict[int, Cores]) -> Finding:
    first = next(iter(ranks.values()))
    union = frozenset[int]().union(*(own.allowed for own in ranks.values()))
    said = (
        f"cores: {host}: {len(ranks)} rank(s) ({numbers(list(ranks))}) on {len(union)} of "
        f"{first.installed} cores ({numbers(list(union))})"
    )
    wrong = _wrong(ranks)
    if wrong:
        return Finding(False, f"{said}: {wrong}")
    if first.on_node and len(union) < first.on_node:
        said += f", SLURM gives the job {first.on_node} CPUs here: some are left idle"
    return Finding(True, said)


def _wrong(ranks: dict[int, Cores]) -> str | None:
    """What is wrong with the cores of a host, and what to do."""
    for rank, own in ranks.items():
        sharing, mine = _sharing(own, ranks), len(own.allowed)
        if own.per_task and mine < own.per_task:
            return (
                f"SLURM gives a task {own.per_task} CPUs, rank {rank} may run on {mine}: "
                f"srun --cpus-per-task={own.per_task}, or mpirun -bind-to none"
            )
        if sharing > mine:
            return (
                f"oversubscribed, {sharing} ranks take turns on {mine}: start fewer, or give each "
                "cores of its own (mpirun -bind-to core; srun --cpu-bind=cores)"
            )
        if own.threads > mine:
            return f"rank {rank} starts {own.threads} threads on {mine} cores: a smaller --threads"
    return None


def _sharing(own: Cores, ranks: dict[int, Cores]) -> int:
    """How many ranks, itself included, may run on a core of this one."""
    return sum(bool(own.allowed & other.allowed) for other in ranks.values())


def _number(name: str) -> int | None:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else None
