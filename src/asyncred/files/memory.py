"""An HDF5 file that is in memory: what a script hands over is read by the code that reads files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import PosixPath
from typing import Any

import h5py


class MemoryFile(PosixPath):
    """A path whose file is in memory; ``open_hdf5`` and ``open`` read it, for as long as it lives.

    Its name is what messages call it. Paths derived from it are ordinary ones.
    """

    content: bytes

    @classmethod
    def written(cls, name: str, write: Callable[[h5py.File], None]) -> MemoryFile:
        """The file that ``write`` fills."""
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            write(file)
        found = cls(name)
        found.content = buffer.getvalue()
        return found

    def open(self, *mode: Any, **settings: Any) -> Any:
        """The file, to be read as bytes."""
        return io.BytesIO(self.content)
