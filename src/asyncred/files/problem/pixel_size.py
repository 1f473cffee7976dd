"""The side of a pixel at the object, which phase retrieval needs, as scans tell it.

NXtomo         sample/x_pixel_size, or else instrument/detector/x_pixel_size
Data Exchange  /measurement/instrument/detection_system/objective/resolution, as the Advanced
               Photon Source writes it

A number with the attribute units. Some files have the detector's own pixels there, before the
optics: the note says the number, and ``--pixel-size`` another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import h5py

from asyncred.files.problem.fields import string
from asyncred.files.problem.head import Corrections

UNITS = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1e6),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), 1e3),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns"), 1.0),
    **dict.fromkeys(("micrometer", "micrometre", "micrometers", "micrometres"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1e-3),
}
"""Micrometres, by the name of a unit in small letters."""

RESOLUTION = "measurement/instrument/detection_system/objective/resolution"


def sized(
    corrections: Corrections, file: h5py.File, names: Sequence[str]
) -> tuple[Corrections, list[str]]:
    """The same corrections with the file's pixel, where phase retrieval asks for one, and a note.

    ``names``: datasets, of which the first that tells one is taken.
    """
    phase = corrections.phase
    if phase is None or phase.pixel is not None:
        return corrections, []
    for name in names:
        pixel = _side(file.get(name))
        if pixel is not None:
            note = f"pixels of {pixel:.4g} um for --phase, by /{name} (--pixel-size)"
            return replace(corrections, phase=replace(phase, pixel=pixel)), [note]
    return corrections, []


def _side(found: object) -> float | None:
    """In micrometres; None where a dataset is no positive number with a unit."""
    if not isinstance(found, h5py.Dataset) or found.size != 1 or found.dtype.kind not in "fiu":
        return None
    unit = UNITS.get((string(found, "units") or "").strip().lower())
    value = float(np.asarray(found[()]).reshape(-1)[0])
    return value * unit if unit is not None and np.isfinite(value) and value > 0 else None
