"""The random choices: every block and every measurement gets its share."""

from collections import Counter
from typing import ClassVar

import numpy as np
import pytest

from asyncred.red.sampling import (
    EpochOrder,
    FullBatch,
    LeastUpdated,
    OwnTurn,
    RandomRows,
    SharedTurn,
    UniformOrder,
)

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


class Board:
    """One process's own, with blocks that others hold; some claims are lost to them."""

    def __init__(self, updates, taken=(), lost=0):
        self.blocks, self.taken, self.lost = sorted(updates), set(taken), lost
        self.counts = dict(updates)

    def look(self):
        updates = np.array([self.counts[i] for i in self.blocks])
        return updates, np.array([i not in self.taken for i in self.blocks])

    def claim(self, i, updates):
        assert i not in self.taken and self.counts[i] == updates
        if self.lost:
            self.lost -= 1
            self.counts[i] += 1  # another rank was faster, and is through
            return False
        self.taken.add(i)
        return True

    def done(self, i):
        self.taken.remove(i)
        self.counts[i] += 1


def test_the_least_updated_free_block_is_taken():
    board = Board({3: 5, 5: 2, 8: 1, 13: 2}, taken=[8])
    order = LeastUpdated(board, own=[3], seed=[0])
    i = order.next()
    assert i in (5, 13) and board.taken == {8, i}
    assert LeastUpdated(board, own=[3], seed=[0]).next() == 18 - i
    order.done(i)
    assert board.counts[i] == 3 and order.next() == i


def test_of_equals_an_own_block_is_taken_else_any():
    def first(seed, own):
        return LeastUpdated(Board(dict.fromkeys(BLOCKS, 0)), own, [seed]).next()

    assert {first(seed, own=[5]) for seed in range(20)} == {5}
    assert {first(seed, own=[5, 13]) for seed in range(20)} == {5, 13}
    assert {first(seed, own=[]) for seed in range(50)} == set(BLOCKS)


def test_a_slow_rank_takes_a_block_that_is_ahead():
    """The others made 10 updates of the four blocks during its last one: 2.5 of each."""
    board = Board({3: 5, 5: 6, 8: 7, 13: 9})
    order = LeastUpdated(board, own=[3, 5], seed=[0])
    assert order.next() == 3
    board.counts = {3: 5, 5: 10, 8: 11, 13: 11}
    order.done(3)
    assert order.next() == 3  # none is within 2.5 of it
    board.counts = {3: 9, 5: 12, 8: 12, 13: 13}
    order.done(3)
    assert order.next() == 5
    order.done(5)
    assert order.next() == 3  # no others meanwhile


def test_a_lost_claim_is_followed_by_another():
    board = Board({3: 0, 5: 1, 8: 2}, lost=2)
    order = LeastUpdated(board, own=[3], seed=[0])
    order.done(order.next())
    assert board.lost == 0 and sum(board.counts.values()) == 3 + 2 + 1


def test_one_rank_alone_takes_every_block_once_an_epoch():
    board = Board(dict.fromkeys(BLOCKS, 7))
    order = LeastUpdated(board, BLOCKS, [0])
    for _ in range(20):
        epoch = []
        for _ in BLOCKS:
            epoch.append(order.next())
            order.done(epoch[-1])
        assert sorted(epoch) == BLOCKS


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


def test_own_blocks_take_their_turn_and_go_on_where_they_were():
    turn = OwnTurn([3, 5, 8], 2)
    seen = [j for _ in range(6) for j in turn.after(3)]
    assert sorted(seen) == sorted([3, 5, 8] * 4)
    again = OwnTurn([3, 5, 8], 2, done=4)
    assert [j for _ in range(2) for j in again.after(3)] == seen[8:]
    assert list(OwnTurn([3], 0).after(3)) == []


def test_a_shared_turn_holds_what_it_updates_and_passes_over_what_others_hold():
    class Board:
        blocks: ClassVar = [2, 4, 6]

        def __init__(self):
            self.held = {2, 4}  # 2 by this rank, 4 by another

        def look(self):
            free = np.array([i not in self.held for i in self.blocks])
            return np.zeros(3, np.int64), free

        def claim(self, i, updates):
            self.held.add(i)
            return True

        def release(self, i):
            self.held.remove(i)

    board, seen = Board(), []
    for j in SharedTurn(board, 3, first=0).after(2):
        seen.append(j)
        assert j in board.held
    assert seen == [2, 6] and board.held == {2, 4}
