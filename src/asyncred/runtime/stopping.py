"""When a run ends: a budget of updates, a time limit, a tolerance or a signal; no barrier.

A reason that one rank finds is written into the flag of every rank, which each looks at before its
own next update. A time limit each rank sees on its own clock.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncred.history import Reason
from asyncred.runtime.budget import claim_size
from asyncred.runtime.comm import Comm
from asyncred.runtime.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters


class AsyncStop:
    """Asked before every update of this rank.

    ``updates`` is the budget of the whole run, ``done`` of it were before, ``most`` is how much of
    it one rank claims at once, ``seconds`` the time limit (inf: none), ``signalled`` returns
    why to stop, 0 if nobody asked.
    """

    def __init__(
        self,
        counters: AnyCounters,
        *,
        updates: int,
        most: int,
        seconds: float,
        signalled: Callable[[], int],
        done: int = 0,
    ) -> None:
        self._counters, self._updates, self._most = counters, updates, most
        self._done = done
        self._deadline = time.monotonic() + seconds
        self._signalled = signalled
        self._claimed = self._mine = 0
        self.reason: Reason | None = None

    def __call__(self) -> bool:
        """True when this rank is to make no further update; ``reason`` then says why."""
        self.reason = self._early()
        if self.reason is None and self._claimed == 0:
            self._claimed = self._counters.claim(self._updates, self._size)
            self._mine += self._claimed
            if self._claimed == 0:
                self.reason = Reason.BUDGET
        self._claimed -= 1
        return self.reason is not None

    def until(self, updates: int) -> None:
        """Go on, to another budget. Collective: every rank has stopped for want of budget."""
        self._counters.settle(max(self._updates, self._done))
        self._updates, self._claimed, self.reason = updates, 0, None

    def _size(self, taken: int) -> int:
        return claim_size(
            self._updates - taken,
            taken=taken - self._done,
            mine=self._mine,
            ranks=self._counters.comm.size,
            most=self._most,
        )

    def _early(self) -> Reason | None:
        if asked := self._signalled():
            self._counters.raise_stop(asked)
        flag = self._counters.stop_reason()
        if flag:
            return Reason(flag)
        return Reason.TIME if time.monotonic() > self._deadline else None


class SyncStop:
    """The same for algorithms that go in rounds of one update a rank. Collective over ``comm``.

    The budget is met to the round: up to ``comm.size - 1`` updates more than asked; ``done`` were
    before.
    """

    def __init__(
        self,
        comm: Comm,
        counters: AnyCounters,
        *,
        updates: int,
        seconds: float,
        signalled: Callable[[], int],
        done: int = 0,
    ) -> None:
        self._comm, self._counters = comm, counters
        self._updates, self._done = updates, done
        self._deadline = time.monotonic() + seconds
        self._signalled = signalled
        self.reason: Reason | None = None

    def __call__(self) -> bool:
        """The same answer on every rank."""
        mine = self._counters.stop_reason()
        if asked := self._signalled():
            mine = asked
        elif time.monotonic() > self._deadline:
            mine = Reason.TIME
        flag = max(self._comm.allgather(mine))
        if not flag and self._done >= self._updates:
            flag = Reason.BUDGET
        self._done += 0 if flag else self._comm.size
        self.reason = Reason(flag) if flag else None
        return self.reason is not None

    def until(self, updates: int) -> None:
        """Go on, to another budget."""
        self._updates, self.reason = updates, None


class Signals:
    """Remembers that a signal came, instead of dying of it; SIGINT, Ctrl-C, ends at the second."""

    ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)
    """Signals that ask a run to put itself down."""

    def __init__(self) -> None:
        self._received = False
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        """Whether one came."""
        return self._received

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread is told of signals
        for number in self.ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of nohup
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: object) -> None:
        if self._received and number == signal.SIGINT:
            os._exit(INTERRUPTED)
        self._received = True
