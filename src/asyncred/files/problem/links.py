"""Links of HDF5 that lead nowhere: which one it is, and what it should lead to."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

DEEPEST = 16
"""Links that are followed one after the other; HDF5 follows as many."""


def broken_link(file: h5py.File, name: str, depth: int = 0) -> str | None:
    """Which link on the way to ``name`` leads nowhere, and to what; None where none does."""
    here, place = file, ""
    for part in name.strip("/").split("/"):
        place += f"/{part}"
        found = here.get(part)
        if found is None:
            link = here.get(part, getlink=True)
            return None if link is None else _broken(here, place, link, depth)
        if not isinstance(found, h5py.Group):
            return None
        here = found
    return None


def _broken(group: h5py.Group, place: str, link: object, depth: int) -> str:
    """What to say of the link of a group at a place that leads nowhere."""
    if isinstance(link, h5py.SoftLink):
        target = link.path if link.path.startswith("/") else f"{group.name}/{link.path}"
        further = broken_link(group.file, target, depth + 1) if depth < DEEPEST else None
        return f"{place} links to {further or f'{link.path}, which is missing: expected a dataset'}"
    if not isinstance(link, h5py.ExternalLink):
        return f"{place} cannot be opened: expected a dataset"
    what = f"{place} links to {link.path} of the file {link.filename}"
    found = beside(link.filename, group.file.filename, "HDF5_EXT_PREFIX")
    if found is None:
        return f"{what}, which is missing: expected it in {folder_of(group.file.filename)}"
    try:
        with h5py.File(found, "r") as other:
            further = broken_link(other, link.path, depth + 1) if depth < DEEPEST else None
    except OSError as error:
        return f"{what}, which cannot be opened: {error}"
    reason = f": there {further}" if further else ", which has none: expected a dataset"
    return what + reason


def beside(name: str, holder: str, variable: str) -> Path | None:
    """Where HDF5 finds a file that another, ``holder``, names; None where it does not.

    ``variable`` of the environment holds folders to look in first.
    """
    path, folder = Path(name), Path(holder).parent
    if path.is_absolute():
        if path.exists():
            return path
        path = Path(path.name)
    said = os.environ.get(variable, "").replace("${ORIGIN}", str(folder))
    prefixes = [Path(one) for one in said.split(":") if one]
    candidates = (*prefixes, folder, Path(), Path(holder).resolve().parent)
    return next((one / path for one in candidates if (one / path).exists()), None)


def folder_of(holder: str) -> Path:
    """The folder of a file, in full."""
    return Path(holder).resolve().parent
