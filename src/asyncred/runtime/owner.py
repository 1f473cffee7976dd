"""A job owns the files that it writes: another one is told so, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from asyncred.files.lock import Lock
from asyncred.runtime.collective import on_root
from asyncred.runtime.comm import Comm
from asyncred.runtime.config import FilesConfig


@contextmanager
def owned(files: FilesConfig, comm: Comm) -> Iterator[None]:
    """Hold the result and the checkpoint of a job, by its rank 0.

    Collective over comm. Raises InputError, saying who has one.
    """
    with ExitStack() as locks:

        def take() -> None:
            wanted = {files.output.resolve(): False}
            if files.resume is not None:
                wanted.setdefault(files.resume.resolve(), True)
            if files.kept is not None:
                wanted[files.kept.resolve()] = False
            for path, shared in wanted.items():
                held = hold(path, shared=shared)
                if held is not None:
                    locks.callback(held.release)

        on_root(comm, take)
        yield


def hold(path: Path, *, shared: bool) -> Lock | None:
    """The lock of a file; None where there is no folder for it, which others complain of."""
    return Lock(path, shared=shared) if path.is_file() or _is_new(path) else None


def _is_new(path: Path) -> bool:
    return path.parent.is_dir() and not path.exists()
