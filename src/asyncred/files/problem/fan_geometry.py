"""Source, rotation axis and detector of fan beams, as they are measured in a laboratory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import h5py

from asyncred.files.problem.fields import real, string
from asyncred.operators.fan_beam import CurvedDetector, Detector, Fan, FlatDetector

SHAPES = ("flat", "curved")

DISTANCES = {
    "source_axis": "the distance of the source from the rotation axis",
    "axis_detector": "that of the axis from the detector",
}


@dataclass(frozen=True)
class FanGeometry:
    """Where source, rotation axis and detector are. All lengths are in one unit, say mm."""

    source_axis: float
    """Distance of the source from the rotation axis."""
    axis_detector: float
    """Distance of the rotation axis from the detector. Both are measured along the ray that meets
    the detector at a right angle."""
    spacing: float = 1.0
    """Distance of two bins on the detector, along its arc if it is curved."""
    detector: str = "flat"
    """``"flat"`` or ``"curved"``, which is an arc about the source with bins at equal angles."""
    center: float | None = None
    """The bin, counted from 0, that sees the rotation axis; None for the middle."""
    axis_offset: float = 0.0
    """How far the axis lies from the ray at a right angle, towards higher bins."""
    pixel: float | None = None
    """Side of a pixel; None for the width of a bin as it is seen at the rotation axis."""

    @property
    def bin_at_axis(self) -> float:
        """How wide a bin is, seen from the source, at the rotation axis."""
        return self.spacing * self.source_axis / (self.source_axis + self.axis_detector)

    @property
    def side(self) -> float:
        """Of a pixel."""
        return self.bin_at_axis if self.pixel is None else self.pixel

    @property
    def attributes(self) -> Mapping[str, float | str]:
        """What is said of it, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def scaled(self, factor: float) -> FanGeometry:
        """The same in another unit of length, of which the one so far has ``factor``."""
        return replace(
            self,
            source_axis=factor * self.source_axis,
            axis_detector=factor * self.axis_detector,
            spacing=factor * self.spacing,
            axis_offset=factor * self.axis_offset,
            pixel=factor * self.side,
        )

    def fan(self, bins: int) -> Fan:
        """The same in pixels, for a detector of so many bins."""
        step = self.spacing / (self.source_axis + self.axis_detector)
        flat = self.detector == "flat"
        detector: Detector = FlatDetector(step) if flat else CurvedDetector(step)
        return Fan(
            source=self.source_axis / self.side,
            detector=detector,
            center=(bins - 1) / 2 if self.center is None else self.center,
            aside=self.axis_offset / self.side,
        )


def read_fan_geometry(path: Path, operator: h5py.Group) -> FanGeometry:
    """The attributes of /operator. Raises ValueError."""
    for name, what in DISTANCES.items():
        if name not in operator.attrs:
            raise ValueError(f"{path}: {operator.name} {name} is missing, expected {what}")
    detector = string(operator, "detector") or "flat"
    if detector not in SHAPES:
        raise ValueError(
            f"{path}: {operator.name} detector is {detector!r}, expected 'flat' or 'curved'"
        )

    def optional(name: str, *, positive: bool) -> float | None:
        known = name in operator.attrs
        return real(path, operator, name, 0.0, positive=positive) if known else None

    return FanGeometry(
        source_axis=real(path, operator, "source_axis", 0.0, positive=True),
        axis_detector=_not_negative(path, operator, "axis_detector"),
        spacing=real(path, operator, "spacing", 1.0, positive=True),
        detector=detector,
        center=optional("center", positive=False),
        axis_offset=real(path, operator, "axis_offset", 0.0, positive=False),
        pixel=optional("pixel", positive=True),
    )


def _not_negative(path: Path, operator: h5py.Group, name: str) -> float:
    """A detector may be said to be at the axis, its bins as wide as they are seen there."""
    found = real(path, operator, name, 0.0, positive=False)
    if found < 0:
        raise ValueError(f"{path}: {operator.name} {name} is {found!r}, expected 0 or more")
    return found
