"""A few slices of a scan, looked at beforehand: what every slice needs to know of the detector and
its frames, and what is worth a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from asyncred.errors import BadImage
from asyncred.files.problem.air import air_columns, levels
from asyncred.files.problem.band import noise_gain, whole_slices
from asyncred.files.problem.correction import LEAST, Correction, Detector, Row, Slice
from asyncred.files.problem.counts import Counts
from asyncred.files.problem.flaws import bridged, narrow, scatter_of
from asyncred.files.problem.frames import Screened, named, screened
from asyncred.files.problem.noise_estimate import of_lines
from asyncred.files.problem.saturation import top_of

Array = NDArray[np.float32]
Corrections = tuple[dict[int, Correction], dict[int, BadImage]]

LARGEST = 1.5
"""No transmission is larger, but for zingers."""

OFF = 0.02
"""Share by which the beam beside the object may differ from the white field."""

SATURATED = 0.002
"""Share of the pixels that may be saturated."""

FEWEST = 16
"""Views that tell how counts scatter, at least;"""

SCATTERED = 2**11
"""as many as make up so many counts, of each slice: more would tell no more."""

WHOLE = 100
"""Counts that are larger are counted one by one, if they are whole numbers; and frames that are
looked at for that, about."""


@dataclass(frozen=True)
class Survey:
    """What was found in some slices."""

    counts: Counts
    """The scan without the frames that hold no measurement, and its detector."""
    good: NDArray[np.bool_]
    """Which views of all these are."""
    slices: list[int]
    """Those that hold measurements."""
    y: Array
    """Their line integrals [slices, views, bins]."""
    noise: list[float | None]
    """Of these line integrals, slice by slice."""
    frames: tuple[str, ...]
    """Which frames are left out, a note for each kind."""
    notes: tuple[str, ...]
    """Of the slices."""
    doubts: tuple[str, ...]


def survey(counts: Counts, slices: Sequence[int]) -> Survey:
    """Look at some slices. Raises BadImage where none of them holds measurements, ValueError."""
    raw = counts.read_all(slices)
    rows = list(raw.values())
    kept = screened(*([getattr(row, name) for row in rows] for name in ("counts", "white", "dark")))
    reduced = counts.only(kept)
    whole = {number: reduced.screened(number, row, kept) for number, row in raw.items()}
    plain, bad = _plain(reduced, whole)
    detector = _detector(reduced, list(plain.values()))
    found, worse = _corrected(plain, detector)
    bad |= worse
    if not found:
        raise next(iter(bad.values()))
    done = {number: one.slice(slice(None)) for number, one in found.items()}
    if counts.white is None:
        for number, one in found.items():
            _check_transmissions(reduced, number, one)
    left = [f"slice {number} left out: {reason_of(error)}" for number, error in bad.items()]
    seen = replace(reduced, detector=detector)
    y, gain = np.stack([one.y for one in done.values()]), 1.0
    noise = [of_lines(one) for one in y]
    if detector.corrections.phase is not None:
        y, gain = whole_slices(seen, list(done)), noise_gain(seen)
    return Survey(
        seen,
        kept.views,
        list(done),
        y,
        [None if sigma is None else gain * sigma for sigma in noise],
        tuple(_of_frames(counts, kept)),
        (*left, *_of_slices(found, done)),
        (*_saturated(list(found.values())), *_beam(found)),
    )


def reason_of(error: BadImage) -> str:
    """What is wrong with a slice, without the file."""
    return str(error).partition(": ")[2]


def _plain(counts: Counts, rows: Mapping[int, Row]) -> Corrections:
    """What is corrected in each slice whatever the detector, and what is wrong with others."""

    def plain(number: int, row: Row) -> Correction:
        counts.check_finite(number, row)
        return Correction(row, Detector())

    return _each({number: partial(plain, number, row) for number, row in rows.items()})


def _corrected(plain: Mapping[int, Correction], detector: Detector) -> Corrections:
    """The same with all that was found of the detector, and is asked for."""
    return _each(
        {number: partial(Correction, one.row, detector, one) for number, one in plain.items()}
    )


def _each(make: Mapping[int, Callable[[], Correction]]) -> Corrections:
    found: dict[int, Correction] = {}
    bad: dict[int, BadImage] = {}
    for number, one in make.items():
        try:
            found[number] = one()
        except BadImage as error:
            bad[number] = error
    return found, bad


def _detector(counts: Counts, slices: list[Correction]) -> Detector:
    """What slices tell of the detector that each of all needs."""
    scatter = [
        scatter_of(one.transmissions(_middle(one.row.counts))[:, ~one.dead], one.light[~one.dead])
        for one in slices
    ]
    parts = [part for one in slices for part in (one.row.counts, one.row.white) if part is not None]
    whole = counts.white is not None and all(_is_whole(part) for part in parts)
    return Detector(
        counts.detector.corrections,
        float(np.median(scatter)) if scatter else None,
        top_of(parts, counts.largest) if whole and parts else np.inf,
        whole,
    )


def _middle(counts: Array) -> Array:
    """Some views one after the other, as many as make up ``SCATTERED``."""
    views, columns = counts.shape
    some = min(views, max(FEWEST, SCATTERED // columns))
    first = (views - some) // 2
    return counts[first : first + some]


def _is_whole(counts: Array) -> bool:
    """Whether these are counts one by one, not shares of something."""
    some = counts[:: max(1, len(counts) // WHOLE)]
    return bool((some == np.rint(some)).all()) and float(some.max(initial=0)) > WHOLE


def _of_frames(counts: Counts, kept: Screened) -> list[str]:
    """Which frames are left out."""
    gone = np.flatnonzero(~kept.views)
    notes = []
    if gone.size:
        notes.append(
            f"{gone.size} of {kept.views.size} views left out, without light or never written: "
            f"{named(counts.views[gone])}"
        )
    for kind, good, what in (
        ("white", kept.white, "far from the others"),
        ("dark", kept.dark, "with light"),
    ):
        if not good.all():
            gone = np.flatnonzero(~good)
            notes.append(
                f"{gone.size} of {good.size} {kind} fields left out, {what}: {named(gone)}"
            )
    return notes


def _of_slices(found: Mapping[int, Correction], done: Mapping[int, Slice]) -> list[str]:
    """What was corrected in some slices."""
    slices, one = list(done.values()), next(iter(found.values()))
    asked, least = one.detector.corrections, "one count" if one.detector.whole else f"{LEAST:g}"
    counted = {
        "zingers (replaced by the median about them; --zingers none keeps them)": sum(
            part.zingers for part in slices
        ),
        "dead columns (no light, or stuck; bridged from their neighbours)": sum(
            int(part.dead.sum()) for part in found.values()
        ),
        "saturated pixels (bridged from their neighbours)": sum(part.saturated for part in slices),
        f"transmissions below {least} (raised to it)": sum(part.low for part in slices),
    }
    where = f"slice{'s' * (len(done) > 1)} {', '.join(map(str, done))}"
    notes = [f"{where}: {what}: {count}" for what, count in counted.items() if count]
    if asked.air:
        level = np.concatenate([part.level.ravel() for part in slices])
        notes.append(
            f"{where}: the beam beside the object is {level.min():.3f} to {level.max():.3f} of the "
            "white field, and taken for 1 (--air)"
        )
    if asked.rings:
        stripes = np.stack([part.stripes for part in found.values() if part.stripes is not None])
        clear = np.count_nonzero(stripes)
        size = float(np.std(stripes[stripes != 0])) if clear else 0.0
        notes.append(
            f"{where}: stripes in {clear} of {stripes.size} columns, {size:.2g} of line integral, "
            "taken off (--rings)"
        )
    return notes


def _saturated(slices: list[Correction]) -> list[str]:
    """A doubt where more is saturated than can be bridged."""
    top = slices[0].detector.top
    if not np.isfinite(top):
        return []
    white, counts = (
        np.mean([np.mean(part >= top) for part in parts if part is not None])
        for parts in ([one.row.white for one in slices], [_wide(one, top) for one in slices])
    )
    if max(white, counts) < SATURATED:
        return []
    return [
        f"the detector is saturated, at {top:g}, in {100 * white:.2g} % of the white field and "
        f"{100 * counts:.2g} % of the projections: line integrals are too small there, expected "
        "fields and projections below it: a shorter exposure, or a filter, gives these"
    ]


def _wide(one: Correction, top: float) -> NDArray[np.float32]:
    """Counts of a slice, 0 where they are bridged."""
    return np.where(narrow(one.row.counts >= top), 0, one.row.counts)


def _beam(found: Mapping[int, Correction]) -> list[str]:
    """A doubt where the beam beside the object is not that of the white field, and nobody asked."""
    if next(iter(found.values())).detector.corrections.air:
        return []
    shares = []
    for one in found.values():
        T = bridged(one.transmissions(one.row.probe), one.dead)
        air = air_columns(T)
        if air.any() and one.row.white is not None:
            shares.append(float(np.median(levels(T, air))))
    share = float(np.median(shares)) if shares else 1.0
    if abs(share - 1) <= OFF:
        return []
    return [
        f"the beam beside the object is {share:.3f} of the white field, expected about 1: "
        "--air auto takes its level from there, view by view"
    ]


def _check_transmissions(counts: Counts, number: int, one: Correction) -> None:
    """Raise ValueError unless values without a white field can be transmissions."""
    values = one.row.counts[:, ~one.dead]
    top = float(np.quantile(values, 0.999))
    middle = values.shape[1] // 4
    outside = np.median(np.c_[values[:, :1], values[:, -1:]])
    if top > LARGEST or outside < np.median(values[:, middle : values.shape[1] - middle]):
        raise ValueError(
            f"{counts.path}: no white field, and row {number} of /{counts.projections.name} is up "
            f"to {top:.4g}, {outside:.4g} at its ends: expected a white field, or transmissions up "
            f"to {LARGEST} that are largest beside the object"
        )
