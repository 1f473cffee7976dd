"""What people see while a run goes on: one live line on a terminal, plain lines in a batch log."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from asyncred.history import Sample

Describe = Callable[[Sample], str]

_LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "prterun", "orterun", "srun")


class Progress(Protocol):
    """Shows samples of a run."""

    def show(self, sample: Sample) -> None:
        """Show the newest sample."""
        ...

    def close(self) -> None:
        """End the display."""
        ...


class LiveLine:
    """A bar with the state of the run, redrawn in place."""

    def __init__(self, describe: Describe, total: int) -> None:
        self._describe = describe
        self._bar = tqdm(
            total=total,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format="{percentage:3.0f}% |{bar:12}| {desc}",
        )

    def show(self, sample: Sample) -> None:
        """Redraw."""
        self._bar.set_description_str(self._describe(sample), refresh=False)
        self._bar.update(sample.updates - self._bar.n)

    def close(self) -> None:
        """Leave the last line standing."""
        self._bar.close()


class LogLines:
    """A line now and then, at growing intervals of up to ``longest`` seconds."""

    def __init__(self, describe: Describe, *, longest: float = 60.0) -> None:
        self._describe, self._longest = describe, longest
        self._next = 0.0

    def show(self, sample: Sample) -> None:
        """Print a line if it is time for one."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + min(self._longest, max(2.0, sample.seconds / 4))
        print(f"{sample.seconds:8.1f} s  {self._describe(sample)}", flush=True)

    def close(self) -> None:
        """Nothing to end."""


class Quiet:
    """Shows nothing: on all ranks but one."""

    def show(self, sample: Sample) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing to end."""


def progress(total: int, blocks: int, max_time: float, title: str = "") -> Progress:
    """The display that suits where standard error goes.

    ``total`` is the budget of updates, ``max_time`` the limit in seconds; ``title`` comes first.
    """

    def state(sample: Sample) -> str:
        return title + describe(sample, total=total, blocks=blocks, max_time=max_time)

    return LiveLine(state, total) if on_terminal() else LogLines(state)


def on_terminal() -> bool:
    """Whether a person watches: standard error is a terminal, or that of the MPI launcher is.

    A launcher gives its ranks pipes and copies them to its own output.
    """
    if sys.stderr.isatty():
        return True
    pid = os.getppid()
    while pid > 1:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name in _LAUNCHERS:
                return str(Path(f"/proc/{pid}/fd/2").readlink()).startswith("/dev/pts/")
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


def describe(sample: Sample, *, total: int, blocks: int, max_time: float) -> str:
    """A sample in one line."""
    rate = sample.updates / sample.seconds if sample.seconds else 0.0
    left = (total - sample.updates) / rate if rate else math.inf
    left = max(0.0, min(left, max_time - sample.seconds))
    parts = [
        f"epoch {sample.updates / blocks:.1f} of {total / blocks:.0f}",
        f"distance {sample.distance:.2e}",
        f"step {sample.step:.1e}",
        *([f"misfit {sample.misfit:.2e}"] if sample.misfit == sample.misfit else []),
        *([f"F {sample.objective:.6g}"] if sample.objective == sample.objective else []),
        *([f"SNR {sample.snr:.2f} dB"] if sample.snr == sample.snr else []),
        f"delay {sample.delay:.1f}",
        f"{rate:.1f} updates/s",
        f"at most {left:.0f} s left",
    ]
    return "  ".join(parts)
