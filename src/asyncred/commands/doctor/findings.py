"""What a part of the examination found, on which ranks, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One line."""

    ok: bool
    text: str
    """What was found; if not ok, then after a colon what to do."""

    def __str__(self) -> str:
        return f"{'ok' if self.ok else '!!'}  {self.text}"


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of the examination: done on every rank, told by rank 0."""

    name: str
    limit: float
    """Seconds until the job is given up."""
    measure: Callable[[], T]
    """Called on every rank. What it raises is a finding of that rank."""
    tell: Callable[[Sequence[T]], list[Finding]]
    """Called on rank 0 with the answers of all ranks, in their order."""
    collective: bool = False
    """Whether ``measure`` itself waits for other ranks."""


def alike(answers: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Each answer once; with its ranks and hosts where they differ."""
    ranks: dict[str, list[int]] = {}
    for rank, answer in enumerate(answers):
        ranks.setdefault(answer, []).append(rank)
    if len(ranks) == 1:
        return list(ranks)
    return [f"{answer} ({where(found, hosts)})" for answer, found in ranks.items()]


def where(ranks: Sequence[int], hosts: Sequence[str]) -> str:
    """``rank 3 on b``, ``ranks 0-2, 5 on a, b``."""
    names = ", ".join(dict.fromkeys(hosts[rank] for rank in ranks))
    return f"rank{'s' * (len(ranks) > 1)} {numbers(ranks)} on {names}"


def numbers(found: Sequence[int]) -> str:
    """``0-2, 5``."""
    runs: list[list[int]] = []
    for n in sorted(found):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
