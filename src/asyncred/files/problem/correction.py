"""From the counts of a row of the detector to line integrals, flaw by flaw.

    T = (counts - dark) / (white - dark),    dark and white the means of their fields
    y = -log T

Columns without light, or stuck, and single saturated pixels have no value: y is bridged there.
Zingers give way to the median about them. T is divided by the level of the beam beside the object
(``air``), and raised to that of one count; the stripes of y are taken off (``rings``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asyncred.errors import BadImage
from asyncred.files.problem.air import air_columns, levels
from asyncred.files.problem.beam import Beam, beam_of
from asyncred.files.problem.flaws import bridged, bridged_pixels, narrow, stuck, without_zingers
from asyncred.files.problem.head import Corrections
from asyncred.files.problem.rings import stripes

Array = NDArray[np.float32]
Columns = NDArray[np.bool_]

LEAST = 1e-4
"""Transmissions below it are raised to it where nobody knows what one count is."""

MOST = 0.5
"""They are never raised to more."""

DARKEST = 4.0
"""Standard deviations of a dark frame that counts of a row with light in it lie above the dark."""


@dataclass(frozen=True)
class Row:
    """Counts of a row of the detector, float32 [frames, columns]."""

    place: str
    """Which it is, and of which dataset and file, for messages."""
    counts: Array
    """Of some views."""
    white: Array | None
    """None: counts are transmissions already."""
    dark: Array | None
    """None: 0."""
    probe: Array
    """Counts of some views that are spread evenly over all, the same whoever asks."""
    more: Array
    """Of more such views, where stripes are looked for."""


@dataclass(frozen=True)
class Detector:
    """What is known of a detector, and what is asked for."""

    corrections: Corrections = field(default_factory=Corrections)
    scatter: float | None = None
    """Of counts, in square roots of themselves; None where zingers are not looked for."""
    top: float = np.inf
    """The count at which it is saturated."""
    whole: bool = False
    """Whether counts are whole numbers: none but 0 is less than 1."""


@dataclass(frozen=True)
class Slice:
    """Line integrals of some views of a row, and what was wrong with the counts."""

    y: Array
    """[views, columns]."""
    zingers: int
    saturated: int
    """Pixels that were bridged."""
    low: int
    """Transmissions that were raised."""
    level: Array
    """Of the beam [views, 1]."""


class Correction:
    """What is corrected in a row of the detector, whichever views are asked for.

    Raises BadImage where the row holds no measurements.
    """

    def __init__(self, row: Row, detector: Detector, known: Correction | None = None) -> None:
        """``known``: that of the same row by another detector, whose beam this one has."""
        self.row, self.detector = row, detector
        self.beam: Beam = beam_of(row.white, row.dark, row.probe) if known is None else known.beam
        self.dead: Columns = self._dead() if known is None else known.dead
        light = np.where(self.dead, np.float32(1), self.beam.light)
        self.light = light
        whole = detector.whole and row.white is not None
        self.least = np.minimum(1 / light if whole else np.float32(LEAST), np.float32(MOST))
        self._air = self._columns_of_air() if detector.corrections.air else None
        self.stripes = self._stripes() if detector.corrections.rings else None

    def transmissions(self, counts: Array) -> Array:
        """Of counts [views, columns]; meaningless in dead columns."""
        return np.asarray((counts - self.beam.dark) / self.light, np.float32)

    def slice(self, views: slice) -> Slice:
        """Line integrals of some of the row's views.

        Those before and after tell zingers next to them.
        """
        T, bright = self._without_zingers(self.transmissions(self.row.counts))
        T, bright = T[views], bright[views]
        level = self._level(T)
        T = T if self._air is None else T / level
        y, saturated = self._lines(T), 0
        if np.isfinite(self.detector.top):
            top = self.row.counts[views] >= self.detector.top
            missing = narrow(top) & ~self.dead & ~bright
            y, saturated = bridged_pixels(y, missing), int(missing.sum())
        y = bridged(y, self.dead)
        low = int(np.count_nonzero(self.least > T, axis=0)[~self.dead].sum())
        y = y if self.stripes is None else y - self.stripes
        return Slice(y, int(bright.sum()), saturated, low, level)

    def _lines(self, T: Array) -> Array:
        return np.asarray(-np.log(np.maximum(T, self.least)), np.float32)

    def _without_zingers(self, T: Array) -> tuple[Array, NDArray[np.bool_]]:
        scatter, living = self.detector.scatter, ~self.dead
        if not self.detector.corrections.zingers or scatter is None:
            return T, np.zeros(T.shape, bool)
        if living.all():
            return without_zingers(T, self.light, scatter)
        found = np.zeros(T.shape, bool)
        part = np.ascontiguousarray(T[:, living])
        T[:, living], found[:, living] = without_zingers(part, self.light[living], scatter)
        return T, found

    def _level(self, T: Array) -> Array:
        return np.ones((len(T), 1), np.float32) if self._air is None else levels(T, self._air)

    def _dead(self) -> Columns:
        row, beam = self.row, self.beam
        if row.white is not None and np.median(beam.light) <= beam.least:
            raise BadImage(
                f"{row.place} sees no light, outside of the beam or empty: white fields are "
                f"{np.median(beam.light):.3g} above dark ones, expected more than {beam.least:.2g}"
            )
        lit = beam.light > beam.least
        scale = np.where(lit, beam.light, np.float32(1))
        dead: Columns = ~lit | stuck(np.asarray((row.probe - beam.dark) / scale, np.float32))
        if dead.all():
            raise BadImage(
                f"{row.place} has no column that works, expected white fields above dark ones, "
                "and counts that change"
            )
        seen = (row.probe - beam.dark)[:, ~dead].ravel()
        most = int(0.95 * (seen.size - 1))
        highest = np.partition(seen, most)[most]
        if row.white is not None and highest <= DARKEST * beam.noise:
            raise BadImage(
                f"{row.place} sees no light in the projections: counts are {highest:.3g} above the "
                f"dark field, expected more than {DARKEST * beam.noise:.2g}, the noise of that"
            )
        return dead

    def _columns_of_air(self) -> Columns:
        probe = bridged(self.transmissions(self.row.probe), self.dead)
        air = air_columns(probe) & ~self.dead
        if not air.any():
            raise BadImage(
                f"{self.row.place} shows no air beside the object at either edge, expected some "
                "columns for --air auto: --air none leaves the level of the beam as it is"
            )
        return air

    def _stripes(self) -> Array:
        T = self.transmissions(self.row.more)
        return stripes(bridged(self._lines(T / self._level(T)), self.dead))
