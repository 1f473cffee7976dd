"""Whether input files are still those that were looked at first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asyncred.files.memory import MemoryFile

Mark = tuple[int, int, int]
"""Inode, bytes, and the time of the last change in ns."""


@dataclass(frozen=True)
class Inputs:
    """Files, and what the file system said of each when they were looked at."""

    marks: tuple[tuple[Path, Mark], ...]

    @classmethod
    def of(cls, files: Iterable[Path]) -> Inputs:
        """Files as they are. Raises OSError where one is missing."""
        return cls(tuple((path, _mark(path)) for path in files if not isinstance(path, MemoryFile)))

    def again(self) -> Inputs:
        """The same files as they are now."""
        return self.of(path for path, _ in self.marks)

    def check(self) -> None:
        """Raise ValueError where one was changed or replaced."""
        for path, mark in self.marks:
            if not path.exists() or _mark(path) != mark:
                raise ValueError(
                    f"{path}: was changed or replaced while the job ran, which has read the rest "
                    "of another file: expected it to stay as it is; run again"
                )


def _mark(path: Path) -> Mark:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
