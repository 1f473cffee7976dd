"""Raw data of ISMRMRD as a problem: Cartesian slices, noise scan, calibration lines."""

from __future__ import annotations

from pathlib import Path

import h5py

from asyncred.files.problem.head import Asked, choose
from asyncred.files.problem.ismrmrd_file import DATA, XML, acquisitions_of, source_of
from asyncred.files.problem.mri_header import read_header
from asyncred.files.problem.noise_files import covariance, prewhitened
from asyncred.files.problem.plausible import LOOKED_AT, spread
from asyncred.files.problem.raw_mri import RawMri, RawMriData, raw_data
from asyncred.files.problem.sampling import look_at


def read_ismrmrd(path: Path, file: h5py.File, asked: Asked) -> RawMriData:
    """Check header and readouts. Raises ValueError."""
    found = acquisitions_of(path, file)
    header = read_header(path, file, XML)
    if header is None:
        raise ValueError(f"{path}: /{XML} has no encoding, expected the header of ISMRMRD")
    if header.trajectory not in ("", "cartesian"):
        raise ValueError(
            f"{path}: /{XML} trajectory is {header.trajectory!r}, expected 'cartesian'"
        )
    source, notes = source_of(found, header)
    stack = choose(path, len(source.lines), asked)
    masks = {image: source.mask(image) for image in stack.chosen}
    some = [stack.chosen[k] for k in spread(len(stack.chosen), LOOKED_AT)]
    looks = look_at(source.read, source.shape, some)
    Psi, remarks = covariance(path, file, found.coils, asked)
    if Psi is None and found.noisy.size:
        Psi, remarks = prewhitened(path, f"/{DATA}: noise", found.noise())
    calibrated = found.coils > 1
    raw = RawMri(source.read, stack, masks, looks, header, Psi, (*notes, *remarks), calibrated)
    return raw_data(source, raw, asked, f"/{DATA}")
