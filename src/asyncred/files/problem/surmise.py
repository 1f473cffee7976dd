"""What an HDF5 file of an unknown layout looks like, and which flags may read it.

Everything is a guess from shapes and names, for a message: nothing is read with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import h5py

from asyncred.files.problem.links import broken_link

MOST, DEEPEST = 5000, 12
"""Names of a file that are looked at, and groups within each other."""

LISTED = 4
"""Datasets that are said, at most."""

ANGLES = ("angle", "theta", "rotation", "omega", "phi")
WHITE, DARK = ("white", "flat", "bright", "open"), ("dark",)
"""Parts of the names that such datasets have."""


@dataclass
class Seen:
    """The datasets of a file by their names, and its links that lead nowhere."""

    frames: dict[str, h5py.Dataset] = field(default_factory=dict)
    """Of real numbers and three axes."""
    pictures: dict[str, h5py.Dataset] = field(default_factory=dict)
    """Of two axes."""
    lines: dict[str, h5py.Dataset] = field(default_factory=dict)
    """Of one axis."""
    broken: list[str] = field(default_factory=list)


def looks_like(file: h5py.File) -> str:
    """What there is and which flags would read it, as the end of a message in one line."""
    seen = _look(file)
    if not seen.frames:
        parts = ["it has no dataset of numbers with three axes, such as frames", *_broken(seen)]
        return "; ".join(parts)
    largest = sorted(seen.frames, key=lambda name: -seen.frames[name].size)
    listed = [_words(name, seen.frames[name]) for name in largest[:LISTED]]
    more = f" and {len(largest) - LISTED} more" if len(largest) > LISTED else ""
    best = next((name for name in largest if not _named(name, (*WHITE, *DARK))), largest[0])
    flags = " ".join(f"--{flag} {name}" for flag, name in _flags(best, seen).items())
    parts = [
        f"its datasets with three axes are {', '.join(listed)}{more}",
        f"a scan [frames, rows, columns] is read with {flags}",
    ]
    return "; ".join([*parts, *_broken(seen)])


def _broken(seen: Seen) -> list[str]:
    """What is to be said of links that lead nowhere."""
    if not seen.broken:
        return []
    more = f", and {len(seen.broken) - 1} more" if len(seen.broken) > 1 else ""
    return [f"a broken link: {seen.broken[0]}{more}"]


def _flags(data: str, seen: Seen) -> dict[str, str]:
    """What may be said of a scan whose frames are these, by flag."""
    shape = seen.frames[data].shape
    along = {name for name, line in seen.lines.items() if line.shape[0] == shape[0]}
    keys = [name for name in along if _named(name, ("key",))]
    turned = [name for name in seen.lines if _named(name, ANGLES)]
    turned.sort(key=lambda name: (name not in along, name))
    fields = {
        name: one
        for name, one in {**seen.frames, **seen.pictures}.items()
        if one.shape[-2:] == shape[1:] and name != data
    }
    found = {
        "data": [data],
        "angles": turned or ["START:STOP"],
        "image-key": sorted(keys, key=lambda name: (name.endswith("control"), name)),
        "white": [name for name in fields if _named(name, WHITE)],
        "dark": [name for name in fields if _named(name, DARK)],
    }
    return {flag: names[0] for flag, names in found.items() if names}


def _named(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name.rsplit("/", 1)[-1].lower() for part in parts)


def _words(name: str, data: h5py.Dataset) -> str:
    return f"{name} {data.dtype} {list(data.shape)}"


def _look(file: h5py.File) -> Seen:
    """Follow all groups and links, each group once. Nothing is read."""
    seen = Seen()
    for _, (name, found) in zip(range(MOST), _walk(file, "", set(), 0), strict=False):
        if found is None:
            broken = broken_link(file, name)
            seen.broken += [broken] if broken else []
        elif isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu":
            kinds = {1: seen.lines, 2: seen.pictures, 3: seen.frames}
            if found.ndim in kinds and found.size > 1:
                kinds[found.ndim][name] = found
    return seen


def _walk(
    group: h5py.Group, place: str, known: set[object], depth: int
) -> Iterator[tuple[str, h5py.HLObject | None]]:
    """Everything below a group by full name, None where a link leads nowhere; links last."""
    links = {name: group.get(name, getlink=True) for name in group}
    for name in sorted(links, key=lambda name: not isinstance(links[name], h5py.HardLink)):
        found = _taken(group, name)
        if found is not None:
            info = h5py.h5o.get_info(found.id)
            if (info.fileno, info.addr) in known:
                continue
            known.add((info.fileno, info.addr))
        yield f"{place}/{name}", found
        if isinstance(found, h5py.Group) and depth < DEEPEST:
            yield from _walk(found, f"{place}/{name}", known, depth + 1)


def _taken(group: h5py.Group, name: str) -> h5py.HLObject | None:
    try:
        return group.get(name)
    except (OSError, RuntimeError, ValueError):  # of a damaged file, or without its filter
        return None
