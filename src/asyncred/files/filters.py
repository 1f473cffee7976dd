"""Compression filters of HDF5: its own, those on HDF5_PLUGIN_PATH, or those of hdf5plugin.

The package hdf5plugin is imported where a dataset asks for it: that costs 40 ms and no other file
has to pay for it.
"""

from __future__ import annotations

from functools import cache
from types import TracebackType

import h5py

from asyncred.files.damage import DAMAGE, readable

_PROVIDED: set[tuple[str, object]] = set()
"""Datasets that have been looked at in this process, by file and name: a run takes them often, and
of a virtual one HDF5 would copy all of its mappings each time."""


class File(h5py.File):  # type: ignore[misc]
    """An HDF5 file whose datasets have their filters once they are taken by their full names.

    As a context it ends with one line, a ValueError, for whatever reading it raises.
    """

    last = ""
    """What was taken by its full name last."""

    def __getitem__(self, name: object) -> h5py.HLObject:
        """A group or dataset. Raises ValueError where a filter of a dataset is missing."""
        if isinstance(name, str):
            self.last = name
        found = super().__getitem__(name)
        if isinstance(found, h5py.Dataset) and (self.filename, name) not in _PROVIDED:
            check_filters(self.filename, found)
            _PROVIDED.add((self.filename, name))
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        name = self.filename if self.id else ""
        super().__exit__(kind, error, trace)
        if isinstance(error, DAMAGE):
            found = readable(error, name, self.last)
            if found is not error:
                raise found from None


def check_filters(file: object, dataset: h5py.Dataset) -> None:
    """Provide what a dataset is compressed with. Raises ValueError naming file, dataset, filter."""
    if dataset.id.get_offset() is not None:  # one piece of the file, which no filter can be on
        return
    created = dataset.id.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL:
        _plugins()  # HDF5 opens its sources, which may be compressed with anything
        return
    for k in range(created.get_nfilters()):
        number, _, _, name = created.get_filter(k)
        if h5py.h5z.filter_avail(number) or (_plugins() and h5py.h5z.filter_avail(number)):
            continue
        called = name.decode(errors="replace").split(";")[0].strip()
        raise ValueError(
            f"{file}: {dataset.name} is compressed with the HDF5 filter {number}"
            f"{f' ({called})' * bool(called)}, which is not here: pip install hdf5plugin, or set "
            "HDF5_PLUGIN_PATH to the folder that has it"
        )


def check_group(group: h5py.Group) -> None:
    """The same for all datasets of a group, which are taken from it by their own names."""
    for name in group:
        found = group.get(name)
        if isinstance(found, h5py.Dataset):
            check_filters(group.file.filename, found)


@cache
def _plugins() -> bool:
    """Whether hdf5plugin is installed; its filters are then known to HDF5."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return False
    return True
