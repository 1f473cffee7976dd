"""Which other files an HDF5 file takes its values from: they are part of the input too.

External links, virtual datasets and raw data in files of their own name files. Whoever made a file
chooses what they name, so that nothing outside its folder is read unless the user says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from asyncred.files.damage import one_line
from asyncred.files.memory import MemoryFile
from asyncred.files.problem.links import beside, folder_of
from asyncred.files.problem.stored import named
from asyncred.files.whole import open_hdf5

PREFIXES = ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")
"""Variables of the environment that name folders where HDF5 looks for such files."""

Key = tuple[str, int]
"""A dataset: its file, and where it is in that."""


def sources_of(path: Path, *, follow: bool) -> list[Path]:
    """The other files that a file refers to, directly or through others; those that exist.

    Raises ValueError where one is outside its folder, unless ``follow``, and where virtual datasets
    take their values from each other in a circle, over which HDF5 crashes.
    """
    if isinstance(path, MemoryFile):
        return []
    folders = [path.parent.resolve(), *_named_folders()]
    found, edges = [path], dict[Key, set[Key]]()
    for file in found:  # which grows
        for place, name, there in _references(file, edges):
            if there is None or there in found:
                continue
            if not follow and not any(_within(there, folder) for folder in folders):
                raise ValueError(
                    f"{path}: {place} takes its values from {name}, outside the folder of the "
                    "file: expected files in it; --follow-links reads others too"
                )
            found.append(there)
    _check_circles(path, edges)
    return found[1:]


def _references(path: Path, edges: dict[Key, set[Key]]) -> list[tuple[str, str, Path | None]]:
    """Of the links and datasets of a file: their place, the file's name there, and where it is."""
    found: list[tuple[str, str, Path | None]] = []
    if not path.is_file() or not h5py.is_hdf5(path):
        return found
    with open_hdf5(path) as file:

        def link(place: str, what: object) -> None:
            if isinstance(what, h5py.ExternalLink):
                there = beside(what.filename, file.filename, "HDF5_EXT_PREFIX")
                found.append((f"/{place}", what.filename, there))

        def dataset(place: str, node: h5py.HLObject) -> None:
            if isinstance(node, h5py.Dataset) and node.id.get_offset() is None:
                found.extend((node.name, *one) for one in _of_dataset(path, node, edges))

        file.visititems_links(link)
        file["/"].visititems(dataset)  # of a group, which asks for no filters
    return found


def _of_dataset(
    path: Path, node: h5py.Dataset, edges: dict[Key, set[Key]]
) -> Iterator[tuple[str, Path | None]]:
    created = node.id.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL:
        own = edges.setdefault(_key(path, node), set())
        for name, key, *_ in named(node, node.virtual_sources()):
            there = path if name == "." else beside(name, node.file.filename, "HDF5_VDS_PREFIX")
            if there is not None:
                own.update(_target(there, key))
            yield name, there
    for k in range(created.get_external_count()):
        name = os.fsdecode(created.get_external(k)[0])
        prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "")
        folder = Path(prefix.replace("${ORIGIN}", str(folder_of(node.file.filename))))
        yield name, folder / name


def _key(path: Path, node: h5py.Dataset) -> Key:
    return str(path.resolve()), h5py.h5o.get_info(node.id).addr


def _target(path: Path, key: str) -> list[Key]:
    """A source of a virtual dataset, if it is there."""
    if not h5py.is_hdf5(path):
        return []
    with one_line(path), h5py.File(path, "r") as file:
        found = file.get(key)
        return [_key(path, found)] if isinstance(found, h5py.Dataset) else []


def _check_circles(path: Path, edges: dict[Key, set[Key]]) -> None:
    """Raise ValueError where a virtual dataset takes values from itself in the end."""
    done: set[Key] = set()
    for start in edges:
        way = [(start, iter(edges[start]))]
        on_it = {start}
        while way:
            here, others = way[-1]
            following = next((one for one in others if one not in done), None)
            if following in on_it:
                raise ValueError(
                    f"{path}: a virtual dataset of {following[0]} takes its values from itself: "
                    "expected other datasets as its sources"
                )
            if following is None:
                done.add(here)
                on_it.discard(here)
                way.pop()
            else:
                on_it.add(following)
                way.append((following, iter(edges.get(following, ()))))


def _within(path: Path, folder: Path) -> bool:
    """Whether the name of a file is below a folder; symbolic links there are the user's own."""
    return Path(os.path.normpath(path.absolute())).is_relative_to(folder) or Path(
        os.path.normpath(path.parent.resolve() / path.name)
    ).is_relative_to(folder)


def _named_folders() -> list[Path]:
    """Those where the user lets HDF5 look."""
    told = [one for name in PREFIXES for one in os.environ.get(name, "").split(":")]
    return [Path(one).resolve() for one in told if one and "${ORIGIN}" not in one]
