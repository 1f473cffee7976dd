"""Scans of a small object as a detector counts them, and the files that hold such counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.grid import BlockGrid
from asyncred.operators import ParallelBeam

SIDE, VIEWS, SLICES = 64, 60, 3
DARK, GAIN = 100.0, 4000.0
"""Counts without beam, and what the beam adds to them in the brightest column."""

HALF_TURN = np.arange(VIEWS) * 180 / VIEWS


@dataclass(frozen=True)
class Scan:
    """Counts uint16 [frames, rows, columns], and what is behind them."""

    truth: NDArray[np.float32]
    """Attenuation per pixel [slices, rows, columns]."""
    angles: NDArray[np.float64]
    """Degrees."""
    data: NDArray[np.uint16]
    white: NDArray[np.uint16]
    dark: NDArray[np.uint16]


def object_slices(side=SIDE, slices=SLICES, radius=0.34):
    """A disc with smaller ones in it, others in each slice; the strongest ray loses about e^3."""
    rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
    images = []
    for k in range(slices):
        x = np.where(np.hypot(rows, cols) < radius * side, 1.0, 0.0)
        x[np.hypot(rows - 0.1 * side, cols + 0.12 * side) < 0.1 * side] = 2
        x[np.hypot(rows + 0.15 * side, cols - 0.07 * k * side) < 0.06 * side] = 0
        x[(np.abs(rows - 0.05 * k * side) < 2) & (np.abs(cols - 0.1 * side) < 0.1 * side)] = 1.6
        images.append(x * 3.2 / side)
    return np.array(images, np.float32)


def projected(truth, angles, center):
    """Line integrals [slices, views, bins], as many bins as the images are wide; in degrees."""
    grid, bins = BlockGrid(truth.shape[1:], truth.shape[1:]), truth.shape[2]
    A = ParallelBeam(grid, np.radians(angles), bins, center=center, threads=1)
    footprint = A.footprint(0)
    columns = footprint.first[:, None] + np.arange(footprint.width)
    y = np.zeros((len(truth), len(angles), bins), np.float32)
    for k, x in enumerate(truth):
        np.put_along_axis(y[k], columns, A.forward(0, x, None), axis=1)
    return y


def scan(offset=4.6, angles=HALF_TURN, gain=GAIN, seed=0, truth=None):
    """Count photons, of a beam that is not even, by a detector whose dark current is not."""
    rng = np.random.default_rng(seed)
    truth = object_slices() if truth is None else truth
    slices, bins = truth.shape[0], truth.shape[2]
    y = projected(truth, angles, (bins - 1) / 2 + offset).swapaxes(0, 1)
    beam = gain * (0.7 + 0.3 * rng.random((slices, bins)))
    dark = DARK + 20 * rng.random((slices, bins))
    fields = np.ones((12, 1, 1))
    means = dark + beam * np.exp(-y), dark + beam * fields, dark * fields
    return Scan(truth, angles, *(rng.poisson(mean).astype(np.uint16) for mean in means))


def write_data_exchange(path, scan):
    """The published layout."""
    with h5py.File(path, "w") as file:
        file["implements"] = "exchange"
        for name in ("data", "white", "dark"):
            key = "exchange/data" if name == "data" else f"exchange/data_{name}"
            file[key] = getattr(scan, name)
            file[key].attrs.update({"units": "counts", "axes": "theta:y:x"})
        file["exchange/theta"] = scan.angles
        file["exchange/theta"].attrs["units"] = "deg"
    return path


def write_nxtomo(path, scan, entry="scan_7", subentry=None):
    """The application definition: flats and darks before, one frame spoiled, flats after."""
    frames = [
        scan.dark,
        scan.white[:6],
        scan.data[:20],
        scan.data[:1],
        scan.data[20:],
        scan.white[6:],
    ]
    keys = [2, 1, 0, 3, 0, 1]
    with h5py.File(path, "w") as file:
        file.attrs["default"] = entry
        place = file.create_group(entry)
        place.attrs["NX_class"] = "NXentry"
        if subentry is not None:
            place = place.create_group(subentry)
            place.attrs["NX_class"] = "NXsubentry"
        place["definition"] = "NXtomo"
        for name, kind in (
            ("instrument", "NXinstrument"),
            ("instrument/detector", "NXdetector"),
            ("sample", "NXsample"),
            ("data", "NXdata"),
        ):
            place.create_group(name).attrs["NX_class"] = kind
        detector = place["instrument/detector"]
        detector["data"] = np.concatenate(frames)
        detector["image_key"] = np.repeat(keys, [len(part) for part in frames])
        angles = np.zeros(len(detector["data"]))
        angles[detector["image_key"][:] == 0] = scan.angles
        place["sample/name"] = "discs"
        place["sample/rotation_angle"] = angles
        place["sample/rotation_angle"].attrs["units"] = "degree"
        for name in ("data", "image_key"):
            place[f"data/{name}"] = detector[name]
        place["data/rotation_angle"] = place["sample/rotation_angle"]
    return path
