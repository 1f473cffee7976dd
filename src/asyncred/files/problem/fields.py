"""Parts of an HDF5 file, checked: a ValueError names file, key, what was found and expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import h5py

from asyncred.files.problem.links import broken_link
from asyncred.files.problem.stored import check_stored


def node(path: Path, file: h5py.File, name: str, kind: type) -> h5py.HLObject:
    """A group or dataset by its full name; of a dataset, all values are there."""
    found = file.get(name)
    if not isinstance(found, kind):
        broken = None if found is not None else broken_link(file, name)
        if broken is not None:
            raise ValueError(f"{path}: {broken}")
        what = "missing" if found is None else f"a {type(found).__name__.lower()}"
        raise ValueError(f"{path}: /{name} is {what}, expected a {kind.__name__.lower()}")
    if isinstance(found, h5py.Dataset):
        check_stored(path, f"/{name}", found)
    return found


def integer(path: Path, group: h5py.Group, name: str, low: int) -> int:
    """An integer attribute of at least ``low``."""
    value = np.asarray(group.attrs[name])
    if value.shape != () or value.dtype.kind not in "iu" or value < low:
        raise ValueError(
            f"{path}: {group.name} {name} is {value.tolist()!r}, expected an integer >= {low}"
        )
    return int(value)


def string(node: h5py.HLObject, name: str) -> str | None:
    """A string attribute, of fixed length or not; anything else in Python's notation."""
    value = node.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if value is None or isinstance(value, str) else repr(value)


def pair(path: Path, file: h5py.File, group: str, name: str) -> tuple[int, int]:
    """Two positive integers: an attribute of a group."""
    value = np.atleast_1d(node(path, file, group, h5py.Group).attrs.get(name, ()))
    if value.shape != (2,) or value.dtype.kind not in "iu" or (value < 1).any():
        raise ValueError(
            f"{path}: /{group} {name} is {value.tolist()}, expected two positive integers"
        )
    return int(value[0]), int(value[1])


def reals(path: Path, dataset: h5py.Dataset, ndim: int, expected: str) -> NDArray[np.float64]:
    """All of a small dataset of finite real numbers of ``ndim`` axes."""
    found = np.asarray(dataset[()])
    if found.ndim != ndim or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ValueError(
            f"{path}: {dataset.name} is {found.dtype} {list(found.shape)}, "
            f"expected {expected}, finite"
        )
    return found.astype(np.float64)


def picture(path: Path, file: h5py.File, shape: tuple[int, int], what: str) -> h5py.Dataset:
    """y, a float picture of this shape, or a stack of such. Raises ValueError."""
    y = node(path, file, "measurements/y", h5py.Dataset)
    if y.ndim not in (2, 3) or y.shape[-2:] != shape or y.dtype.kind != "f":
        raise ValueError(
            f"{path}: /measurements/y is {y.dtype} {list(y.shape)}, expected float32 "
            f"{list(shape)} ({what}), or this with a leading axis of images"
        )
    return y


def finite(path: Path, name: str, values: NDArray[Any], remedy: str = "") -> None:
    """Raise ValueError where some values are NaN or Inf; ``name`` says which they are."""
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{path}: {name} holds {bad} NaN or Inf, expected finite numbers{remedy}")


def real(path: Path, group: h5py.Group, name: str, default: float, *, positive: bool) -> float:
    """A finite number among the attributes of a group, or ``default`` where it is missing."""
    value = np.asarray(group.attrs.get(name, default))
    fits = value.shape == () and value.dtype.kind in "fiu" and bool(np.isfinite(value))
    if not fits or (positive and value <= 0):
        raise ValueError(
            f"{path}: {group.name} {name} is {value.tolist()!r}, expected a "
            f"{'positive ' if positive else 'finite '}number"
        )
    return float(value)
