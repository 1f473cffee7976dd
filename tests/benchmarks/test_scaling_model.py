"""The discrete-event model of many ranks, where the answer is known without it."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simpy

from asyncred.grid import BlockGrid
from asyncred.shared import counters
from launch import mpirun
from scaling_model import ANNOUNCED_TO, AsyncModel, Queue, sync_outcome
from scaling_terms import Layout, Network, Work, ideal_rate

AT_ONCE = Network(latency=0.0)
SLEEPING = Path(__file__).parents[2] / "benchmarks/sleeping.py"


def run(layout, work, network, *, updates, slow=None, seed=0):
    rng = np.random.default_rng(seed)
    return AsyncModel(layout, work, network, updates=updates, rng=rng, slow=slow).run()


def rounds(layout, work, network, *, count, slow=None):
    rng = np.random.default_rng(0)
    return sync_outcome(layout, work, network, rounds=count, rng=rng, slow=slow)


def test_it_announces_as_the_program_does():
    assert ANNOUNCED_TO == counters._ANNOUNCED_TO


@pytest.mark.ranks
def test_ranks_that_sleep_make_their_updates():
    """As ``scaling_measured`` starts them: 20 updates of 5 ms each, by four ranks."""
    done = mpirun(4, sys.executable, SLEEPING, "0.005", "0.1", "80", "1", timeout=60)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["rate"] < 840


def test_one_rank_takes_the_time_of_its_updates():
    found = run(Layout(1), Work(0.02), Network(1.0, serve=1.0), updates=300)
    assert found.seconds == pytest.approx(300 * 0.02)
    assert found.rate == pytest.approx(50)


@pytest.mark.parametrize("ranks", [2, 9, 100])
def test_without_jitter_and_latency_it_is_linear(ranks):
    found = run(Layout(ranks), Work(0.02), AT_ONCE, updates=500 * ranks)
    assert found.halo == found.claiming == 0
    assert found.rate == pytest.approx(ranks / 0.02, rel=2 / 500)


@pytest.mark.parametrize("updates", [1, 7, 1000, 1003])
def test_the_budget_is_met_exactly(updates):
    work, network = Work(0.01, jitter=0.5), Network(1e-3, serve=1e-4, poll=1e-3)
    assert run(Layout(7), work, network, updates=updates).per_rank.sum() == updates


def test_jitter_of_one_rank_averages_out():
    found = run(Layout(1), Work(0.02, jitter=0.3), AT_ONCE, updates=40_000)
    assert found.rate == pytest.approx(50, rel=0.01)  # 5 standard errors are 0.8 %


def test_a_barrier_waits_for_the_slowest():
    even = rounds(Layout(8), Work(0.02), AT_ONCE, count=10)
    uneven = rounds(Layout(8), Work(0.02), AT_ONCE, count=10, slow={3: 10})
    assert even.rate == pytest.approx(8 / 0.02)
    assert uneven.rate == pytest.approx(even.rate / 10)


def test_a_barrier_waits_for_the_larger_of_two():
    sigma = 0.05
    found = rounds(Layout(2), Work(1.0, jitter=sigma), AT_ONCE, count=20_000)
    assert found.seconds / 20_000 == pytest.approx(1 + sigma / math.sqrt(math.pi), abs=2e-3)


def test_a_barrier_costs_three_times_its_steps():
    network = Network(latency=0.0, hop=1e-3)
    assert rounds(Layout(8), Work(0.02), network, count=10).seconds == pytest.approx(10 * 0.029)


@pytest.mark.parametrize(("updates", "kept"), [(20, 0.75), (120, 0.95), (5000, 0.99)])
def test_a_straggler_costs_the_others_nothing_but_its_own_updates(updates, kept):
    layout, work, slow = Layout(8), Work(0.02), {3: 10.0}
    found = run(layout, work, AT_ONCE, updates=8 * updates, slow=slow)
    assert ideal_rate(layout, work, slow) == pytest.approx(7.1 / 0.02)
    assert kept * 7.1 / 0.02 <= found.rate <= 7.1 / 0.02
    others = np.delete(found.per_rank, 3)
    assert found.per_rank[3] == pytest.approx(others.mean() / 10, abs=1 + 0.02 * updates / 10)


def test_a_saturated_counter_gives_its_service_rate():
    network = Network(latency=1e-6, serve=1e-4, near=0.04)  # rank 0 is no quicker than others
    found = run(Layout(400), Work(1e-3), network, updates=400 * 3)  # too few to claim two at once
    assert found.claims == 400 * 4
    assert found.claims / found.seconds == pytest.approx(1 / 2e-4, rel=0.05)
    assert found.rate < 0.1 * ideal_rate(Layout(400), Work(1e-3), {})


def test_halos_are_hidden_behind_an_update_and_no_longer():
    layout, work = Layout(9), Work(0.02)
    hidden = run(layout, work, Network(latency=0.009), updates=9 * 200)
    assert hidden.halo == pytest.approx(0.018)  # of the first, at rank 0, whose claim is quick
    late = run(layout, work, Network(latency=0.025), updates=9 * 2000)
    assert late.rate == pytest.approx(9 / 0.05, rel=0.05)  # a round trip an update


def test_the_table_of_announcements_is_read_twice_an_update():
    work = Work(0.02, table=1e-5)
    found = run(Layout(100), work, AT_ONCE, updates=100 * 400)
    assert found.rate == pytest.approx(100 / 0.022, rel=0.01)


def test_samples_take_time_of_rank_0_alone():
    work = Work(0.01, issue=0.005, report=0.5)
    found = run(Layout(100), work, AT_ONCE, updates=100 * 400)
    assert found.per_rank[0] == pytest.approx(found.per_rank[1:].mean() / 2, rel=0.1)
    assert found.sampled == pytest.approx(found.seconds / 2, rel=0.2)


@pytest.mark.parametrize(("ranks", "rate"), [(1, 50), (2, 80), (4, 80)])
def test_ranks_share_cores_that_are_too_few(ranks, rate):
    layout = Layout(ranks, per_host=ranks, cores=2)
    found = run(layout, Work(0.02, crowding=1.25), AT_ONCE, updates=ranks * 400)
    assert found.rate == pytest.approx(rate, rel=0.02)


def test_a_queue_is_a_resource_of_one():
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0, 500))
    env, finished = simpy.Environment(), []
    server = simpy.Resource(env)

    def message(arrival):
        yield env.timeout(arrival)
        with server.request() as turn:
            yield turn
            yield env.timeout(0.9)
            finished.append(env.now)

    for arrival in arrivals:
        env.process(message(arrival))
    env.run()
    queue = Queue(serve=0.9)
    np.testing.assert_allclose([queue.done(arrival) for arrival in arrivals], finished)


def test_a_thread_looks_now_and_then_and_empties_its_queue():
    queue = Queue(serve=0.1, poll=1.0, phase=0.5)
    assert [queue.done(t) for t in (0.6, 0.7, 1.65, 3.0)] == pytest.approx([1.6, 1.7, 1.8, 3.6])
    assert queue.owed == pytest.approx(0.4)


@pytest.mark.parametrize(("blocks", "per_host"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_neighbours_are_those_of_the_grid(blocks, per_host):
    layout = Layout(48 // blocks, blocks=blocks, side=10, halo=3, per_host=per_host)
    grid = BlockGrid((70, 70), (10, 10))  # 49 blocks: the last is one that the layout lacks
    for i, found in enumerate(layout.far_owners()):
        seen = [part.block for part in grid.overlaps(grid.window(i, 3).region)]
        owners = [k // blocks for k in seen if k != i and k < 48]
        host = i // blocks // per_host
        expected = sorted(owner for owner in owners if owner // per_host != host)
        assert sorted(found[found >= 0]) == expected


def test_a_host_of_all_ranks_sends_nothing():
    layout, network = Layout(9, per_host=9), Network(latency=1.0, serve=1.0)
    assert (layout.far_owners() == -1).all()
    quiet = run(layout, Work(0.02), network, updates=900)
    assert quiet.seconds == run(layout, Work(0.02), AT_ONCE, updates=900).seconds
    near = replace(network, near=0.01)
    assert run(layout, Work(0.02), near, updates=900).claiming == pytest.approx(
        0.02 * run(layout, Work(0.02), near, updates=900).claims
    )
