"""Which points of k-space were measured, image by image, which coils live, and where its centre is.

Where nothing was measured files hold zeros: between the sampled lines or points, before the echo
of an asymmetric readout, and beyond the last line of partial Fourier. Noise makes every measured
sample of a coil that lives other than 0, so a point where all coils are 0 is none, whatever the
mask says. A coil that is 0 or NaN throughout the central line is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from asyncred.files.problem.calibration import Offset

PROBES = 2
"""Coils that are read whole; the others only where these differ."""

BRIGHTER = 5.0
"""How many times the energy of the middle another place of k-space must have to be its centre."""

AWAY = 3
"""A centre that is nearer to the middle than so many samples is left alone."""

BOX = 3
"""Samples of a side of the places whose energies are compared."""

NAMED = 8
"""Images or coils that are told one by one."""

ALL = slice(None)

_NO_ENERGY = np.zeros((0, 0))

Mask = NDArray[np.bool_]
Complex = NDArray[np.complex64]
Read = Callable[[int, slice, slice], Complex]
"""Image, coils and rows to k-space, complex [coils, rows, kx]."""


@dataclass(frozen=True)
class Sampling:
    """What was measured of each image."""

    masks: Mask
    """The different ones, [masks, ky, kx]."""
    which: Mapping[int, int]
    """By image, its mask."""
    dead: Mapping[int, tuple[int, ...]]
    """By image, the coils that are dead; those that have none are left out."""
    offset: Offset = (0, 0)
    """Rows and columns from the middle of k-space to its centre."""

    def within(self, seen: Mapping[int, Mask]) -> Sampling:
        """The same of images less the points that were not seen, [ky, kx] by image."""
        masks, which = _different({image: self.mask(image) & seen[image] for image in self.which})
        return replace(self, masks=masks, which=which)

    @property
    def most(self) -> int:
        """Sampled points of the image that has the most."""
        return int(self.masks.sum(axis=(1, 2)).max())

    def mask(self, image: int) -> Mask:
        """The sampled points of an image, [ky, kx]; of one not asked for, those of another."""
        found: Mask = self.masks[self.which.get(image, 0)]
        return found


@dataclass(frozen=True)
class Look:
    """What is seen of an image."""

    sampled: Mask
    """Where some coil is not 0, [ky, kx]."""
    dead: tuple[int, ...]
    energy: NDArray[np.float64]
    """Of the coils that were read, [ky, kx]; empty where it was not looked for."""


def together(masks: Mapping[int, Mask], looks: Mapping[int, Look], *, least: Offset) -> Sampling:
    """The sampling of images whose masks are known; ``looks`` at all or some of them.

    ``least``: an offset of this or more, along an axis, is left to the user.
    """
    different, which = _different(masks)
    dead = {image: look.dead for image, look in looks.items() if look.dead}
    offset = _offset([look.energy for look in looks.values()])
    usual = all(abs(found) < most for found, most in zip(offset, least, strict=True))
    return Sampling(different, which, dead, offset if usual else (0, 0))


def _different(masks: Mapping[int, Mask]) -> tuple[Mask, dict[int, int]]:
    """The different ones, [masks, ky, kx], and by image its own."""
    different: list[Mask] = []
    which = {}
    for image, mask in masks.items():
        same = [k for k, other in enumerate(different) if np.array_equal(other, mask)]
        if not same:
            different.append(mask)
        which[image] = same[0] if same else len(different) - 1
    return np.array(different), which


def look_at(read: Read, shape: tuple[int, ...], images: Sequence[int]) -> dict[int, Look]:
    """Look at images of the shape [coils, ky, kx].

    Three lines of an image are read, and all of it only where they are not those of the one before.
    """
    looks: dict[int, Look] = {}
    known: Look | None = None
    for image in images:
        lines = [read(image, ALL, slice(row, row + 1)) for row in _rows(shape[1])]
        if known is None or not _same(known, lines):
            known = _look(read, image, lines[0])
            looks[image] = known
        else:
            looks[image] = Look(known.sampled, known.dead, _NO_ENERGY)
    return looks


def _rows(rows: int) -> list[int]:
    """The middle one, and two others that sampled points rarely agree in by chance."""
    return [rows // 2, rows // 4, 3 * rows // 4]


def _same(known: Look, lines: Sequence[Complex]) -> bool:
    """Whether the lines [C, 1, kx] of an image have the sampling and the dead coils of another."""
    if _dead(lines[0]) != known.dead:
        return False
    rows = _rows(known.sampled.shape[0])
    found = [(_quiet(line, known.dead) != 0).any(axis=(0, 1)) for line in lines]
    return all(np.array_equal(known.sampled[row], f) for row, f in zip(rows, found, strict=True))


def _look(read: Read, image: int, middle: Complex) -> Look:
    """Look at an image whose middle line is known; of most coils no more is read."""
    coils, dead = len(middle), _dead(middle)
    if len(dead) == coils:  # the middle line was not measured, or nothing was
        whole = read(image, ALL, ALL)
        dead = _dead(whole)
        return _seen(whole, dead if len(dead) < coils else ())
    size = np.abs(np.where(np.isfinite(middle), middle, 0)).sum(axis=(1, 2))
    bright = [int(c) for c in np.argsort(-size) if c not in dead][:PROBES]
    probes = np.concatenate([read(image, slice(c, c + 1), ALL) for c in bright])
    if ((probes != 0) != (probes[:1] != 0)).any():
        return _seen(read(image, ALL, ALL), dead)
    return Look(probes[0] != 0, dead, _energy(probes))


def _dead(k: Complex) -> tuple[int, ...]:
    """Coils that are 0 or NaN in some lines [C, lines, kx]."""
    living = (np.isfinite(k) & (k != 0)).any(axis=(1, 2))
    return tuple(int(c) for c in np.flatnonzero(~living))


def _quiet(k: Complex, dead: tuple[int, ...]) -> Complex:
    """Without the dead coils."""
    return np.delete(k, dead, axis=0)


def told(path: Path, place: str, found: Sampling) -> list[str]:
    """Notes: dead coils, and a centre that is off."""
    notes = []
    if found.dead:
        by_coils: dict[tuple[int, ...], list[int]] = {}
        for image, coils in found.dead.items():
            by_coils.setdefault(coils, []).append(image)
        for coils, images in by_coils.items():
            where = "" if len(images) == len(found.which) else f" in image {named(images)}"
            notes.append(
                f"{place}: coil {named(coils)} is 0 or NaN{where}: left out, as if it was not there"
            )
    if found.offset != (0, 0):
        center = [n // 2 + o for n, o in zip(found.masks.shape[1:], found.offset, strict=True)]
        notes.append(
            f"{place}: the centre of k-space, by its energy, is at {center}, "
            f"{found.offset[0]} rows and {found.offset[1]} columns after the middle: taken there"
        )
    return notes


def named(numbers: Sequence[int]) -> str:
    """A few numbers, one by one."""
    some = ", ".join(str(n) for n in numbers[:NAMED])
    return some + (", ..." if len(numbers) > NAMED else "")


def _seen(whole: Complex, dead: tuple[int, ...]) -> Look:
    living = _quiet(whole, dead)
    return Look((living != 0).any(axis=0), dead, _energy(living))


def _energy(k: Complex) -> NDArray[np.float64]:
    energy = np.square(np.abs(k), dtype=np.float64).sum(axis=0)
    return np.where(np.isfinite(energy), energy, 0)


def _offset(energies: Sequence[NDArray[np.float64]]) -> Offset:
    """From the middle to where most of the energy is; none where it is not far brighter there."""
    total = sum(energy / energy.sum() for energy in energies if energy.any())
    if isinstance(total, int):
        return (0, 0)
    bright = scipy.ndimage.uniform_filter(total, BOX, mode="wrap")
    place = np.unravel_index(int(np.argmax(bright)), bright.shape)
    middle = tuple(n // 2 for n in bright.shape)
    near = tuple(slice(max(0, m - AWAY + 1), m + AWAY) for m in middle)
    row, column = (int(p) - m for p, m in zip(place, middle, strict=True))
    if max(abs(row), abs(column)) < AWAY or bright[place] < BRIGHTER * bright[near].max():
        return (0, 0)
    return row, column
