"""The rotation axis, found from random scans: how far from where it is, and whether that is said.

Each scan is of a few ellipses with exact line integrals, seen by 96 to 400 bins in 40 to 400 views:
evenly over 176 to 360 degrees, at golden angles that nobody folded, with lost views, or with two
step widths; with Poisson noise, a flat field that is not quite even, and an axis up to 40 % of the
bins off their middle, half acquisition of an object wider than the detector included.

    python benchmarks/axes.py [--scans 30] [--seed 0] [--all]

Wrong is what is more than one bin off though neither a refusal nor a doubt says so: then the exit
code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncred.operators.rotation_axis import find_axis

Numbers = NDArray[np.float64]

GOLDEN = 111.246117975
"""Degrees from one view to the next."""

SCHEMES = ("even", "lost", "two steps", "golden", "whole turn", "half acquisition")

SLICES = 3


@dataclass(frozen=True)
class Scan:
    """What a detector sees, and where the axis is."""

    words: str
    y: NDArray[np.float32]
    """Line integrals [slices, views, bins]."""
    angles: Numbers
    """Radians [views]."""
    center: float


def random_scan(rng: np.random.Generator, scheme: str) -> Scan:
    """A scan by one of ``SCHEMES``."""
    bins, views = int(rng.integers(96, 401)), int(rng.integers(40, 401))
    half = scheme == "half acquisition"
    views = max(views, bins // 2) if half else views
    angles, words = _angles(rng, scheme, views)
    middle = (bins - 1) / 2
    off = (rng.uniform(0.2, 0.4) if half else rng.uniform(0, 0.4)) * bins * rng.choice((-1, 1))
    reach = min(bins - 1, middle + abs(off)) if half else middle - abs(off)
    y = np.stack([_sinogram(rng, angles, bins, middle + off, 0.93 * reach) for _ in range(SLICES)])
    photons = 10 ** rng.uniform(3, 5)
    beam = photons * (1 + 0.01 * rng.standard_normal((SLICES, 1, bins)))
    white = rng.poisson(np.repeat(beam, 10, axis=1)).mean(axis=1, keepdims=True)
    noisy = -np.log(np.maximum(rng.poisson(beam * np.exp(-y)), 1) / white)
    words = f"{words}, {bins} bins, axis {off / bins:+.0%}, {photons:.0f} photons"
    return Scan(words, noisy.astype(np.float32), np.radians(angles), middle + off)


def _angles(rng: np.random.Generator, scheme: str, views: int) -> tuple[Numbers, str]:
    """Degrees, and what they are in words."""
    first, span = rng.uniform(0, 360), rng.choice((176, 179, 180, 200, 270, 360))
    even = first + rng.choice((-1, 1)) * np.arange(views) * span / views
    if scheme == "golden":
        return first + GOLDEN * np.arange(views), f"{views} golden angles"
    if scheme in ("whole turn", "half acquisition"):
        return first + np.arange(views) * 360 / views, f"{scheme}, {views} views"
    if scheme == "two steps":
        ticks = np.where(np.arange(views) < rng.integers(views // 4, views // 2), 1, 2).cumsum()
        return first + ticks * 180 / ticks[-1], f"two step widths, {views} views over 180"
    if scheme == "lost":
        count, at = int(rng.integers(1, 1 + views // 15)), int(rng.integers(views))
        gone = (at + np.arange(count)) % views
        return np.delete(even, gone), f"{views} views over {span} less {count}"
    return even, f"{views} views over {span}"


def _sinogram(
    rng: np.random.Generator, angles: Numbers, bins: int, center: float, reach: float
) -> Numbers:
    """Line integrals [views, bins] of an ellipse that holds others, within reach of the axis."""
    radius = reach * rng.uniform(0.6, 1)
    away, turn = (reach - radius) * rng.random(), rng.uniform(0, 2 * np.pi)
    x, y = away * np.cos(turn), away * np.sin(turn)
    mu = rng.uniform(0.5, 2.5) / (2 * radius)
    ellipses = [(x, y, radius, radius * rng.uniform(0.6, 1), rng.uniform(0, np.pi), mu)]
    for _ in range(int(rng.integers(3, 9))):
        distance, phi = 0.6 * radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        a, b = radius * rng.uniform(0.03, 0.25, 2)
        place = x + distance * np.cos(phi) * 0.9, y + distance * np.sin(phi) * 0.9
        ellipses.append((*place, a, b, rng.uniform(0, np.pi), mu * rng.uniform(-0.8, 1.5)))
    fine = 4
    s = (np.arange(bins * fine) + 0.5) / fine - 0.5 - center
    out = np.zeros((angles.size, s.size))
    theta = np.radians(angles)[:, None]
    for x0, y0, a, b, phi, value in ellipses:
        width = (a * np.cos(theta - phi)) ** 2 + (b * np.sin(theta - phi)) ** 2
        d = s - x0 * np.cos(theta) - y0 * np.sin(theta)
        out += value * 2 * a * b * np.sqrt(np.maximum(width - d**2, 0)) / width
    return np.asarray(out.reshape(angles.size, bins, fine).mean(axis=2))


def main() -> int:
    """Print a line a scan; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="print all scans, not the odd ones")
    options = parser.parse_args()
    errors, shares, seconds = [], [], []
    refused, doubted, wrong = 0, 0, 0
    for k in range(options.scans):
        rng = np.random.default_rng([options.seed, k])
        scan = random_scan(rng, SCHEMES[k % len(SCHEMES)])
        begin = time.perf_counter()
        try:
            found = find_axis(scan.y, scan.angles)
        except ValueError as error:
            refused += 1
            print(f"{k:3d} refused  {scan.words}: {error}")
            continue
        finally:
            seconds.append(time.perf_counter() - begin)
        off = abs(found.center - scan.center)
        errors.append(off)
        shares.append(off / found.error)
        doubted += bool(found.doubt)
        wrong += off > 1 and not found.doubt
        if options.all or off > 0.5 or found.doubt:
            mark = "WRONG" if off > 1 and not found.doubt else "doubt" if found.doubt else ""
            off_by = f"off by {off:.2f}, said {found.error:.2f}"
            print(f"{k:3d} {mark:5s} {off_by}  {scan.words}: {found.how}")
    print(
        f"{options.scans} scans: median {np.median(errors):.3f}, worst {max(errors):.3f} bins; "
        f"{refused} refused, {doubted} doubted, {wrong} wrong without a word; "
        f"off by {np.median(shares):.2f} standard errors as said, nine of ten by less than "
        f"{np.quantile(shares, 0.9):.2f}; {np.median(seconds):.2f} s each"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
