"""The random choices: every block and every measurement gets its share."""

from collections import Counter

import numpy as np
import pytest

from asyncred.sampling import EpochOrder, FullBatch, RandomRows, UniformOrder

BLOCKS = [3, 5, 8, 13]


def draws(order, count):
    return [order.next() for _ in range(count)]


def test_epoch_order_visits_every_block_once_an_epoch():
    epochs = np.reshape(draws(EpochOrder(BLOCKS, [0]), 200), (50, 4))
    assert (np.sort(epochs, axis=1) == BLOCKS).all()
    assert len(np.unique(epochs, axis=0)) > 10


def test_uniform_order_is_uniform_and_forgets():
    found = np.array(draws(UniformOrder(BLOCKS, [0]), 8000))
    counts = Counter(found.tolist())
    assert sorted(counts) == BLOCKS
    assert all(abs(count - 2000) < 5 * np.sqrt(2000 * 0.75) for count in counts.values())
    assert np.mean(found[1:] == found[:-1]) == pytest.approx(0.25, abs=0.025)


@pytest.mark.parametrize("order", [EpochOrder, UniformOrder])
@pytest.mark.parametrize("done", [1, 4, 7])
def test_a_cut_order_goes_on_as_if_uncut(order, done):
    assert draws(order(BLOCKS, [3, 1], done), 20) == draws(order(BLOCKS, [3, 1]), 20 + done)[done:]


def test_cut_minibatches_go_on_as_if_uncut():
    first, second = RandomRows(5, [0, 2]), RandomRows(5, [0, 2], 3)
    rows = [first.draw(20).tolist() for _ in range(6)]
    assert [second.draw(20).tolist() for _ in range(3)] == rows[3:]
    assert len({tuple(row) for row in rows}) == 6


@pytest.mark.parametrize("order", [EpochOrder, UniformOrder])
def test_order_depends_on_its_seed_alone(order):
    first, second, other = (order(BLOCKS, [seed]) for seed in (1, 1, 2))
    assert draws(first, 40) == draws(second, 40) != draws(other, 40)


def test_rows_are_distinct_sorted_and_equally_likely():
    minibatch, counts = RandomRows(5, [0]), np.zeros(20)
    for _ in range(4000):
        rows = minibatch.draw(20)
        assert rows.dtype == np.int64 and rows.shape == (5,)
        assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < 20
        counts[rows] += 1
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


def test_no_subset():
    assert FullBatch().draw(20) is None
    minibatch = RandomRows(5, [0])
    assert minibatch.draw(5) is None and minibatch.draw(3) is None
