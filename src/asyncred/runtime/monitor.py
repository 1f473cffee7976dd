"""How far the run is: each rank keeps its own records, rank 0 looks at all of them now and then.

Distance to the solution: ||G(x)||^2 / ||G(x0)||^2, with each block's G_i as of its last update over
that as of its first, unless the run knows G(x0) itself.
Step: ||change of x|| / ||x|| over the last update of every block, that is over one epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.history import LONGEST_DELAY, Reason, Sample
from asyncred.metrics import snr_from_squares
from asyncred.operators import Image
from asyncred.runtime.fit import Fit
from asyncred.runtime.judge import Judge

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters

SUMS = 10
"""Running sums per rank: updates, blocks visited, |G|^2, |step|^2, |x|^2, |x - truth|^2, |G|^2 of
first updates, |A x - y|^2, tau p(x), delays."""

RECORD = 8
"""Numbers of a block: 1 once it was updated; of its last update, four of the sums above; |G|^2 of
its first; |A x - y|^2; tau p(x)."""

FAR = 5.0
"""Times the range of values that x may be from the middle of it."""


@dataclass(frozen=True)
class Reference:
    """What distances are measured against: sums over the whole image."""

    blocks: int
    truth_square: float | None
    G0_square: float | None = None
    """None: that of the first updates."""
    updates: int = 0
    """What was done before: of all blocks."""
    seconds: float = 0.0
    delays: int = 0
    """Their delays added up."""
    shades: tuple[float, float] = (-math.inf, math.inf)
    """The image's values for black and white."""
    y_square: float = math.nan
    """||y||^2."""
    weight: float = math.nan
    """Of the data term in the objective; NaN where there is none."""


@dataclass(frozen=True)
class Reporting:
    """What rank 0 does now and then."""

    interval: float
    """Seconds between two samples."""
    on_sample: Callable[[Sample], None]
    judge: Judge
    """Looks at the state of the run once an epoch."""


class RunMonitor:
    """The records of one rank; on rank 0 also the history of the run.

    ``truth`` maps the blocks that this rank updates to the true image, where it is known, and
    ``records`` each of them to ``RECORD`` zeros, in memory that all ranks share which update it:
    sums are of differences, whoever made the update before. Rank 0 takes samples, hands them on and
    stops the run by them as ``reporting`` says.
    """

    def __init__(
        self,
        counters: AnyCounters,
        reference: Reference,
        *,
        truth: Mapping[int, Image],
        records: Mapping[int, NDArray[np.float64]],
        reporting: Reporting,
        fit: Fit,
    ) -> None:
        self._counters, self._reference, self._truth = counters, reference, truth
        self._reporting = reporting
        self._root = counters.comm.rank == 0
        self._start = self._next = time.perf_counter()
        self._end: float | None = None
        self._records, self._fit = records, fit
        self._sums = np.zeros(SUMS)
        self.counts: dict[int, int] = {}
        self.delays = np.zeros(LONGEST_DELAY + 1, np.int64)
        self.history: list[Sample] = []
        self._epoch, self._since = max(1, len(records)), 0

    @property
    def judge(self) -> Judge:
        """What has looked at the run; on rank 0."""
        return self._reporting.judge

    def go_on(self, counts: Mapping[int, int], history: Sequence[Sample]) -> None:
        """Take over the updates of the own blocks, and the history, of the run before its cut."""
        self.counts.update(counts)
        self.history.extend(history)

    def begin(self) -> None:
        """Set the clock to zero."""
        self._start = time.perf_counter()
        self._next = self._start + self._reporting.interval

    @property
    def seconds(self) -> float:
        """How long the run goes on, with what was before."""
        now = self._end or time.perf_counter()
        return self._reference.seconds + now - self._start

    def end(self) -> None:
        """Stop the clock."""
        self._end = time.perf_counter()

    def record(self, i: int, x_i: Image, G_i: Image, step_i: Image, *, delay: int) -> None:
        """Block i is ``x_i`` now, after a step of ``step_i``; ``delay`` updates came between."""
        G_square = _square(G_i)
        error = _square(x_i - self._truth[i]) if i in self._truth else 0.0
        record = self._records[i]
        first = record[5] if record[0] else G_square
        terms = self._fit.of_block(i)
        new = np.array([1.0, G_square, _square(step_i), _square(x_i), error, first, *terms])
        self._sums[1:9] += new - record
        if self._since == 0:
            self._sums[7] = self._fit.of_rank(self._sums[7])  # once an epoch
        record[:] = new
        self.counts[i] = self.counts.get(i, 0) + 1
        self.delays[min(max(delay, 0), LONGEST_DELAY)] += 1
        self._sums[0] += 1
        self._sums[9] += delay
        self._counters.publish(self._sums)
        self._since += 1
        if self._strays(x_i):
            self._counters.raise_stop(Reason.DIVERGED)
        if self._since >= self._epoch:
            self._since = 0
            if self._root and time.perf_counter() < self._next:
                self._look()
        if self._root and time.perf_counter() >= self._next:
            self.sample()

    def sample(self) -> None:
        """Take a sample; rank 0 only. Not collective."""
        self._next = time.perf_counter() + self._reporting.interval
        found = self._look()
        if found is not None:
            self.history.append(found)
            self._reporting.on_sample(found)

    def _look(self) -> Sample | None:
        """The state of the run, judged; None while some block was never updated."""
        sums = self._counters.collect().sum(axis=0)
        if sums[1] < self._reference.blocks:
            return None  # nothing to compare yet
        found, judge = self._sample_of(sums), self._reporting.judge
        epoch = found.updates / self._reference.blocks
        if judge.better(found):
            self._counters.ask_to_keep()
        if judge.overshoots(epoch, found):
            self._counters.ask_to_relax()
        reason = judge.look(epoch, found)
        if reason is not None:
            self._counters.raise_stop(reason)
        return found

    def now(self) -> list[Sample]:
        """The state of the run where it is newer than its history; rank 0 only."""
        sums = self._counters.collect().sum(axis=0)
        if sums[1] < self._reference.blocks:
            return []
        found = self._sample_of(sums)
        return [found] if not self.history or self.history[-1].updates < found.updates else []

    def _strays(self, x_i: Image) -> bool:
        """Whether some value is absurdly far from all that the image may hold."""
        low, high = self._reference.shades
        reach = FAR * (high - low)
        if not reach < math.inf:
            return False
        if np.iscomplexobj(x_i):
            return bool(np.abs(x_i).max() > reach)
        middle = (low + high) / 2
        return bool(x_i.max() > middle + reach or x_i.min() < middle - reach)

    def G0_square(self) -> float | None:
        """||G(x0)||^2, None while some block was never updated; rank 0 only."""
        if self._reference.G0_square is not None:
            return self._reference.G0_square
        sums = self._counters.collect().sum(axis=0)
        return float(sums[6]) if sums[1] == self._reference.blocks else None

    def close(self, G_square: float | None, error: float) -> None:
        """End the history, with ||x - truth||^2 of the final x, and ||G||^2 where it was evaluated.

        What is not known because some block was never updated is NaN.
        """
        sums = self._counters.collect().sum(axis=0)
        if not sums[0] and self.history:
            return  # of a run that was resumed at its end
        if G_square is not None:
            sums[2] = G_square
        sums[5] = error
        last = self._sample_of(sums)
        if sums[1] < self._reference.blocks:
            distance = math.nan if G_square is None else last.distance
            last = replace(last, distance=distance, step=math.nan, snr=math.nan)
        self.history.append(last)

    def _sample_of(self, sums: NDArray[np.float64]) -> Sample:
        updates, _, G_square, step, x, error, first, misfit, p, delays = map(float, sums)
        before = self._reference
        G0_square = first if before.G0_square is None else before.G0_square
        updates, delays = updates + before.updates, delays + before.delays
        truth = before.truth_square
        return Sample(
            int(updates),
            self.seconds,
            G_square / G0_square if G0_square else 0.0,
            float(np.sqrt(max(step, 0.0) / x)) if x > 0 else float("inf"),
            snr_from_squares(truth, max(error, 0.0)) if truth else float("nan"),
            delays / updates if updates else 0.0,
            math.sqrt(max(misfit, 0.0) / before.y_square) if before.y_square > 0 else math.nan,
            before.weight / 2 * misfit + p,
        )


def _square(x: Image) -> float:
    flat = x.ravel()
    return float(np.vdot(flat, flat).real)
