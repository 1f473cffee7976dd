"""Whatever HDF5 and NumPy raise over a damaged file, in one line that names file and dataset."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from asyncred.errors import InputError

DAMAGE = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    SystemError,
    TypeError,
    ValueError,
)
"""What reading a file may raise that is not as it should be."""

LIBRARIES = frozenset(
    {"collections", "asyncred", "codecs", "contextlib", "h5py", "json", "numpy", "xml"}
)
"""Whose code runs while a file is read; what others raise, as an operator of one's own, stays."""


@contextmanager
def one_line(path: object, last: str = "") -> Iterator[None]:
    """Raise ValueError naming ``path`` in place of what reading it raises."""
    try:
        yield
    except DAMAGE as error:
        found = readable(error, path, last)
        if found is error:
            raise
        raise found from None


def readable(error: Exception, path: object, last: str) -> Exception:
    """The error to raise for one that came up over a file; ``last`` is what was looked at last."""
    packages = _packages(error.__traceback__)
    ours = packages[-1:] == ["asyncred"] or str(error).startswith(f"{path}:")
    told = type(error) is ValueError and ours
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if isinstance(error, InputError) or told or full or not LIBRARIES.issuperset(packages):
        return error
    words = error.args[0] if isinstance(error, KeyError) and error.args else error
    reason = " ".join(str(words).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename}: {error.strerror}"
    place = f"/{last.strip('/')}: " if last else ""
    return ValueError(
        f"{Path(str(path))}: {place}{reason}: the file is damaged, or this is not what was "
        "expected there"
    )


def _packages(trace: TracebackType | None) -> list[str]:
    """The packages whose code was running, the innermost last."""
    found = []
    while trace is not None:
        found.append(str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0])
        trace = trace.tb_next
    return found[1:]
