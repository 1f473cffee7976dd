"""Ends a job in which a rank waits for ever: for a host whose link is cut, or a peer that is stuck.

A call of MPI that waits for another rank cannot be interrupted; a thread beside it sees that this
rank makes no update any more, and ends its process, on which the launcher ends the others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asyncred.runtime.exit_codes import FAULT, PUT_DOWN

if TYPE_CHECKING:
    from typing_extensions import Self

LEAST, TIMES = 60.0, 20.0
"""Patience where none is given: seconds, and how often the longest update, whichever is longer."""

TICK = 0.5
"""Seconds between two looks."""


class Watchdog:
    """A thread that ends this process if ``beat`` is not called for longer than ``patience``.

    Also if the run goes on for that long after its time limit of ``seconds``. ``patience`` None:
    as the updates take. A context manager.
    """

    def __init__(
        self, rank: int, *, patience: float | None, seconds: float, checkpoint: Path | None
    ) -> None:
        self._rank, self._asked, self._checkpoint = rank, patience, checkpoint
        self._last = time.monotonic()
        self._deadline = self._last + seconds
        self._longest, self._paused = 0.0, False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self) -> None:
        """This rank is about to make an update."""
        now = time.monotonic()
        if not self._paused:
            self._longest = max(self._longest, now - self._last)
        self._last, self._paused = now, False

    def pause(self) -> None:
        """What follows, until the next beat, may take as long as a disk does."""
        self.beat()
        self._paused = True

    @property
    def patience(self) -> float:
        """In seconds."""
        return max(LEAST, TIMES * self._longest) if self._asked is None else self._asked

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._done.wait(TICK):
            now = time.monotonic()
            if now - before > 4 * TICK:  # the process was stopped, or the machine asleep
                self._last += now - before
            before, patience = now, self.patience
            if not self._paused and now - self._last > patience:
                self._end(f"no update for {now - self._last:.0f} s: another rank does not answer")
            if now > self._deadline + patience:
                self._end(f"--max-time is over since {now - self._deadline:.0f} s")

    def _end(self, words: str) -> None:
        kept = self._checkpoint
        there = kept is not None and kept.exists()
        way = f"--resume {kept} goes on from the last checkpoint" if there else "no checkpoint"
        print(
            f"asyncred: rank {self._rank}: {words} (--patience {self.patience:.0f}); {way}",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(TICK)  # for the launcher to pass it on
        os._exit(PUT_DOWN if there else FAULT)

    def __enter__(self) -> Self:
        self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
