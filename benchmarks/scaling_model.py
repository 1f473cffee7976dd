"""N ranks of Async-RED or Sync-RED as a discrete-event model: updates per second, and who waits.

The ranks own equal runs of the blocks of a square image, as ``runtime.placement`` deals them out.
An update is one process step: wait for the halo asked for before, ask for the next, compute. What
other hosts send passes the target's queue, first come, first served; within a host it costs what
the rank's own memory does, and is in the time of an update. Seconds and bytes throughout.

A message enters the queue of its target when it is sent, not when it arrives. All travel about
equally long, so that the order is the same, and no message needs an event of its own: that makes
100,000 ranks a matter of a minute.

Not modelled: the start of a job, its last reductions, checkpoints, congestion of the network.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import simpy

from asyncred.runtime.budget import CLAIM, claim_size
from scaling_terms import Layout, Network, Outcome, Work

ANNOUNCED_TO = 16
"""``asyncred.shared.counters._ANNOUNCED_TO``."""

Events = Generator[simpy.Event, object, None]


@dataclass(slots=True)
class Queue:
    """Messages at one target, served in the order in which they are given.

    A queue with one server is known by when it will be free. Where a thread serves, an idle one
    looks every ``poll`` seconds, at ``phase`` at first, and then empties the queue.
    """

    serve: float
    poll: float = 0.0
    phase: float = 0.0
    free: float = field(default=0.0, init=False)
    owed: float = field(default=0.0, init=False)
    """Seconds that the thread took from its rank and the rank has not yet paid for."""

    def done(self, arrival: float) -> float:
        """When a message is served that arrives then."""
        start = self.free
        if arrival > start:
            start = arrival
            if self.poll:
                looks = math.ceil((arrival - self.phase) / self.poll)
                start = self.phase + looks * self.poll
        self.free = start + self.serve
        if self.poll:
            self.owed += self.serve
        return self.free


class AsyncModel:
    """Async-RED on all ranks; ``updates`` is the budget, ``slow`` maps ranks to factors."""

    def __init__(
        self,
        layout: Layout,
        work: Work,
        network: Network,
        *,
        updates: int,
        rng: np.random.Generator,
        slow: Mapping[int, float] | None = None,
    ) -> None:
        self._layout, self._work, self._network = layout, work, network
        self._budget, self._slow = updates, dict(slow or {})
        self._env = simpy.Environment()
        phases = rng.uniform(0, network.poll, layout.ranks).tolist()
        self._queues = [Queue(network.serve, network.poll, phase) for phase in phases]
        transit = [network.latency + size / network.bandwidth for size in layout.sizes()]
        self._halos = [
            [(self._queues[k], t) for k, t in zip(owners, transit, strict=True) if k >= 0]
            for owners in layout.far_owners().tolist()
        ]
        self._taken, self._taken_by = 0, [0] * layout.ranks
        self._draws = _draws(work.jitter, rng)
        self._every = math.ceil(layout.ranks / ANNOUNCED_TO)
        self._out = Outcome(np.zeros(layout.ranks, np.int64))
        self._compute = self._alone if layout.cores is None else self._in_turn
        self._cores = simpy.Resource(self._env, layout.cores or 1)

    def run(self) -> Outcome:
        """Until the budget is spent and every rank knows."""
        for k in range(self._layout.ranks):
            self._env.process(self._rank(k))
        collecting = gc.isenabled()
        gc.disable()  # nothing here is a cycle that grows, and 100,000 ranks are slow to look at
        try:
            self._env.run()
        finally:
            if collecting:
                gc.enable()
        self._out.seconds = self._env.now
        return self._out

    def _rank(self, k: int) -> Events:
        env, work, out, queue = self._env, self._work, self._out, self._queues[k]
        first, q, slow = k * self._layout.blocks, self._layout.blocks, self._slow.get(k, 1.0)
        table = 2 * work.table * self._layout.ranks if self._layout.ranks > 1 else 0.0
        claimed = done = 0
        owed, ready, sample = 0.0, self._request(first), work.report
        while True:
            if claimed == 0:
                claimed = yield from self._claim(k)
                if claimed == 0:
                    return
            claimed -= 1
            if ready > env.now:
                out.halo += ready - env.now
                yield env.timeout(ready - env.now)
            done += 1
            ready = self._request(first + done % q)
            owed, queue.owed = owed + queue.owed, 0.0
            yield from self._compute(work.update * next(self._draws), slow, table + owed)
            out.per_rank[k] = done
            out.table += table
            owed = self._announce() if done % self._every == 0 else 0.0
            if k == 0 and env.now >= sample:
                owed += work.issue * self._layout.ranks
                out.sampled += work.issue * self._layout.ranks
                sample = env.now + work.issue * self._layout.ranks + work.report

    def _request(self, i: int) -> float:
        """Ask for the halo of block i; when it will be here."""
        if not self._halos[i]:
            return 0.0
        now, last = self._env.now, 0.0
        for queue, transit in self._halos[i]:
            served = queue.done(now + transit)
            if served > last:
                last = served
        return last + self._network.latency

    def _claim(self, k: int) -> Generator[simpy.Event, object, int]:
        """``Counters.claim``: two round trips to rank 0."""
        most, start = max(CLAIM, self._layout.blocks), self._env.now
        yield self._env.timeout(self._round_trip(k))
        chunk = claim_size(
            self._budget - self._taken,
            taken=self._taken,
            mine=self._taken_by[k],
            ranks=self._layout.ranks,
            most=most,
        )
        yield self._env.timeout(self._round_trip(k))
        left = self._budget - self._taken
        if 0 < left <= chunk:
            self._out.dry = self._env.now
        self._taken += chunk
        self._out.claims += 1
        self._out.claiming += self._env.now - start
        got = max(0, min(chunk, left))
        self._taken_by[k] += got
        return got

    def _round_trip(self, k: int) -> float:
        if k // self._layout.per_host == 0:
            return self._network.near
        self._out.served += self._network.serve
        now, latency = self._env.now, self._network.latency
        return self._queues[0].done(now + latency) + latency - now

    def _announce(self) -> float:
        """``Counters.announce`` to all at once; what it costs the author."""
        if self._layout.ranks > self._layout.per_host:
            arrival = self._env.now + self._network.latency
            for queue in self._queues:
                queue.done(arrival)
        return self._work.issue * (self._layout.ranks - 1)

    def _alone(self, seconds: float, slow: float, rest: float) -> Events:
        """On a core of one's own."""
        yield self._env.timeout(slow * seconds + rest)

    def _in_turn(self, seconds: float, slow: float, rest: float) -> Events:
        """On one of too few cores; a rank that is made slow sleeps as long as ``--slow`` says."""
        start = self._env.now
        with self._cores.request() as core:
            yield core
            busy = (self._cores.count - 1) / max(1, self._cores.capacity - 1)
            yield self._env.timeout(seconds * (1 + (self._work.crowding - 1) * busy))
        yield self._env.timeout((slow - 1) * (self._env.now - start) + rest)


def sync_outcome(
    layout: Layout,
    work: Work,
    network: Network,
    *,
    rounds: int,
    rng: np.random.Generator,
    slow: Mapping[int, float] | None = None,
) -> Outcome:
    """Sync-RED, each rank on a core of its own: a round takes what its slowest rank does.

    Three collectives a round, halos are not asked for ahead. All read at the same time, and nobody
    computes yet who is read from: the thread's period does not count.
    """
    pace = np.ones(layout.ranks)
    for k, factor in (slow or {}).items():
        pace[k] = factor
    far = layout.far_owners()[:: layout.blocks] >= 0
    size = np.array(layout.sizes()) @ far.T / network.bandwidth
    halo = far.any(axis=1) * 2 * network.latency + far.sum(axis=1) * network.serve + size
    together = 3 * math.ceil(math.log2(layout.ranks)) * network.hop
    out = Outcome(np.full(layout.ranks, rounds), halo=float(rounds * halo.sum()))
    for _ in range(rounds):
        jitter = rng.lognormal(-(work.jitter**2) / 2, work.jitter, layout.ranks)
        out.seconds += float((work.update * jitter * pace + halo).max()) + together
    return out


def _draws(sigma: float, rng: np.random.Generator) -> Iterator[float]:
    """Lognormal numbers of mean 1."""
    while True:
        yield from rng.lognormal(-(sigma**2) / 2, sigma, 1 << 16).tolist()
