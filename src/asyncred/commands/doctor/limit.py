"""A time limit that holds whatever a process is stuck in: MPI, a file system, a library."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

GRACE = 3.0
"""Seconds that a rank which only waits gives the one that is stuck to say so first; three of them
until the kernel ends a process whose interpreter is stuck too."""


class Limit:
    """Ends the process with code 1 after ``seconds``; a context manager.

    It says ``stuck`` then, or after ``wait`` was called what that was given; both may be empty,
    on ranks that leave it to another. The launcher ends
    the other ranks; those that it leaves alone have a limit of their own. The last resort is
    SIGALRM, whose default ends a process.
    """

    def __init__(self, seconds: float, stuck: str) -> None:
        self._seconds, self._complaint = seconds, stuck
        self._waits = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="limit", daemon=True)

    def wait(self, complaint: str) -> None:
        """This rank is done and waits for others."""
        self._complaint, self._waits = complaint, True

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self._seconds + 3 * GRACE)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _watch(self) -> None:
        if self._done.wait(self._seconds):
            return
        if (self._waits or not self._complaint) and self._done.wait(GRACE):
            return
        if self._complaint:
            print(self._complaint, flush=True)
        os._exit(1)
