"""The header of an MRI scan: what was encoded and what of it is the image (XML of ISMRMRD).

fastMRI files have it in /ismrmrd_header, raw data of ISMRMRD in /dataset/xml. Only a few entries
are read, whatever version of the schema it follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

import h5py

from asyncred.files.problem.fields import node

STEP = "encodingLimits/kspace_encoding_step_1"

EVEN = 2
"""An image has an even number of rows: a readout's middle is then that of the image."""


@dataclass(frozen=True)
class Header:
    """Of the first encoding; NaN and 0 where it does not say."""

    trajectory: str
    encoded: tuple[int, int, int]
    """Readout, phase encoding, partitions: points of k-space."""
    encoded_mm: float
    """Field of view along the readout."""
    image_mm: float
    """What of it is the image."""
    center: int | None
    """The phase encoding step of zero frequency."""

    def rows(self, readout: int) -> int:
        """How many of the pixels along a readout of so many samples are the image."""
        if self.encoded[0] != readout or not self.image_mm < self.encoded_mm:
            return readout
        share = self.image_mm / self.encoded_mm
        return min(readout, EVEN * math.ceil(share * readout / EVEN - 1e-6))


def read_header(path: Path, file: h5py.File, name: str) -> Header | None:
    """None where there is none, or no encoding in it. Raises ValueError where it is no XML."""
    if name not in file:
        return None
    found = np.asarray(node(path, file, name, h5py.Dataset)[()]).reshape(-1)
    text = found[0] if found.size else b""
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{path}: /{name} is no XML ({error}), expected the header of ISMRMRD"
        ) from None
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    encoding = root.find("encoding")
    return None if encoding is None else _header(encoding)


def _header(encoding: ElementTree.Element) -> Header:
    def number(name: str) -> float:
        found = encoding.findtext(name)
        try:
            return float(found) if found else math.nan
        except ValueError:
            return math.nan

    sizes = [number(f"encodedSpace/matrixSize/{axis}") for axis in "xyz"]
    center = number(f"{STEP}/center")
    return Header(
        (encoding.findtext("trajectory") or "").strip(),
        tuple(0 if math.isnan(size) else int(size) for size in sizes),  # type: ignore[arg-type]
        number("encodedSpace/fieldOfView_mm/x"),
        number("reconSpace/fieldOfView_mm/x"),
        None if math.isnan(center) else int(center),
    )
