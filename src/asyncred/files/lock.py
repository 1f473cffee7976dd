"""One owner of a file: a lock beside it, for the life of a job.

``.NAME.lock`` is locked with flock, which the operating system gives back whenever the job dies; it
says who has it. Where a file system has no such locks, that the file is there is the lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path

NONE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What file systems without locks answer."""
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Lock:
    """The lock of ``path``; ``shared`` among those who only read it. Free it by ``release``.

    Raises ValueError saying who has it.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path, self._place = path, path.with_name(f".{path.name}.lock")
        self._file, self._shared = -1, shared
        while self._file < 0:
            try:
                file = os.open(self._place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            except OSError as error:
                if shared and error.errno in READ_ONLY:
                    return  # nobody can write here
                raise ValueError(
                    f"{path}: its lock {self._place.name} cannot be made: {error.strerror}; "
                    "remove it if no job has it"
                ) from None
            if self._take(file):
                self._file = file
            else:
                os.close(file)
        if not self._shared:
            os.truncate(self._file, 0)
            with suppress(OSError):  # of a full disk
                os.pwrite(self._file, _who().encode(errors="replace"), 0)

    def share(self) -> None:
        """From now on others may read the file too."""
        self._shared = True
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let others have it."""
        if self._file >= 0:
            if self._last():
                self._place.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def _take(self, file: int) -> bool:
        """Whether it is had now; False where its file was removed meanwhile. Raises ValueError."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(file, 1000, 0).decode(errors="replace").strip()
            if error.errno in NONE:
                return self._take_by_file(holder)
            os.close(file)
            raise ValueError(
                f"{self._path}: is in use by {holder or 'another job'}: expected a file of this "
                "job alone; wait for its end, or name another file"
            ) from None
        try:
            return os.path.samestat(os.fstat(file), self._place.lstat())
        except FileNotFoundError:
            return False

    def _take_by_file(self, holder: str) -> bool:
        if self._shared or not holder or _is_gone(holder):
            return True
        raise ValueError(
            f"{self._path}: is in use by {holder}, as {self._place.name} says: expected a file of "
            "this job alone; remove that if its job is over"
        )

    def _last(self) -> bool:
        """Whether nobody else has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in NONE and not self._shared
        return True


def _who() -> str:
    """This job, for people: host, process, batch job, command."""
    job = os.environ.get("SLURM_JOB_ID")
    batch = f", job {job}" if job else ""
    command = " ".join(shlex.join(sys.argv).split())[:200]
    return f"process {os.getpid()} on {socket.gethostname()}{batch} ({command})"


def _is_gone(holder: str) -> bool:
    """Whether who wrote that ran on this host and does no more."""
    words = holder.split()
    if len(words) < 4 or words[3].rstrip(",") != socket.gethostname() or not words[1].isdigit():
        return False
    return not Path(f"/proc/{words[1]}").exists()
