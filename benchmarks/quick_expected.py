"""The cases of ``quick.py``, and how fast each is expected to be: ``quick.csv``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("quick.csv")
HEAD = ("processor", "kind", "block")
LAYOUTS = {"1 x 2": (1, 2), "2 x 1": (2, 1), "4 x 1": (4, 1)}
"""Ranks and threads of each."""

SLOWER = 0.8
"""Of the expected: a loss."""

DISTURBED = 0.05
"""Share of the cores that other work may take."""


@dataclass(frozen=True)
class Case:
    """A problem of 2x2 blocks, small enough to be set up at once."""

    kind: str
    block: int

    @property
    def always(self) -> bool:
        """Whether it belongs to the minute."""
        return self.block == 128 or self.kind in ("ct", "blur")

    @property
    def flags(self) -> list[object]:
        """Of `simulate`. A block's dense A has 16 MiB whatever its size."""
        own = {"ct": ["--views", 30], "mri": ["--coils", 2]}
        own["cs"] = ["--ratio", 0.25 * (64 / self.block) ** 4]
        return ["--size", 2 * self.block, "--block", self.block, *own.get(self.kind, [])]


KINDS, BLOCKS = ("cs", "ct", "mri", "blur", "inpaint", "sr"), (64, 128, 256)
CASES = [Case(kind, block) for kind in KINDS for block in BLOCKS]


@dataclass(frozen=True)
class Try:
    """One run: updates/s, updates for an amount of the reference, the share of other work."""

    rate: float
    speed: float
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether it says little."""
        return self.others > DISTURBED


Found = dict[Case, dict[str, Try]]
"""The best try of each layout."""

Speeds = dict[Case, dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    """The speed of a layout, or its ratio to another, and the expected value; NaN where none."""

    what: str
    value: float
    expected: float
    disturbed: bool

    @property
    def share(self) -> float:
        """Of the expected."""
        return self.value / self.expected

    def __str__(self) -> str:
        share = f" ({100 * self.share:.0f} %)" if self.expected == self.expected else ""
        return f"{self.value:.3g}{share}"


@dataclass(frozen=True)
class Expected:
    """Speeds of this processor (``known``) or of another, of which only the ratios are expected."""

    speeds: Speeds
    known: bool

    def compare(self, case: Case, found: Mapping[str, Try]) -> list[Comparison]:
        """The layouts found, then the ratio of each to the one before."""
        wanted = self.speeds.get(case, dict.fromkeys(LAYOUTS, math.nan))
        out = [
            Comparison(name, one.speed, wanted[name] if self.known else math.nan, one.disturbed)
            for name, one in found.items()
        ]
        for (before, a), (after, b) in pairwise(found.items()):
            ratio, disturbed = wanted[after] / wanted[before], a.disturbed or b.disturbed
            what = f"{after} over {before}"
            out.append(Comparison(what, b.speed / a.speed, ratio, disturbed))
        return out

    def enough(self, case: Case, found: Mapping[str, Try], layout: str) -> bool:
        """Whether a layout needs no other try: as fast as expected, or undisturbed if nothing is.

        So must be its ratio to the layout before.
        """
        if not self.speeds:
            return not found[layout].disturbed
        compared = self.compare(case, found)
        return not any(one.share < SLOWER for one in compared if one.what.startswith(layout))


def read_expected(name: str) -> Expected:
    """What is expected on a processor; that of another, where the file does not know it."""
    with FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = any(row["processor"] == name for row in rows)
    used = name if known else rows[0]["processor"]
    speeds = {
        Case(row["kind"], int(row["block"])): {layout: float(row[layout]) for layout in LAYOUTS}
        for row in rows
        if row["processor"] == used
    }
    return Expected(speeds, known)


def write_expected(name: str, passes: Sequence[Found]) -> None:
    """Expect the medians of what was found, of undisturbed runs where there are any."""
    rows: list[list[object]] = []
    if FILE.exists():
        with FILE.open(newline="") as file:
            rows += [row for row in csv.reader(file) if row[0] not in (name, "processor")]
    for case in passes[0]:
        speeds = []
        for layout in LAYOUTS:
            tries = [found[case][layout] for found in passes]
            quiet = [one for one in tries if not one.disturbed]
            speeds.append(f"{np.median([one.speed for one in quiet or tries]):.4g}")
        rows.append([name, case.kind, case.block, *speeds])
    with FILE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([[*HEAD, *LAYOUTS], *rows])
