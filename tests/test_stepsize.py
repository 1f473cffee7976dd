"""Step sizes by their formulas, and the power iteration behind L."""

from collections import Counter

import numpy as np
import pytest

from asyncred.stepsize import (
    RELAXATION,
    AdaptiveStep,
    DecayingStep,
    FixedStep,
    SafeStep,
    largest_eigenvalue,
)

L, TAU, B = {0: 3.0, 1: 5.0}, 0.5, 16


def test_fixed():
    assert FixedStep(0.25)(1, 99) == 0.25


@pytest.mark.parametrize("delay", [0, 1, 7])
@pytest.mark.parametrize("i", L)
def test_safe_is_the_bound_of_the_paper(i, delay):
    step = SafeStep(L, tau=TAU, b=B, delay_bound=0)
    assert step(i, delay) == pytest.approx(1 / ((1 + 2 * delay / 4) * (L[i] + 2 * TAU)))


def test_safe_keeps_the_longest_delay():
    step = SafeStep(L, tau=TAU, b=B, delay_bound=2)
    assert step(0, 0) == step(0, 2) == pytest.approx(1 / (2 * 4))
    assert step(0, 6) == step(0, 0) == pytest.approx(1 / (4 * 4))


@pytest.mark.parametrize("delay", [0, 1, 7])
def test_adaptive_follows_its_own_delay(delay):
    step = AdaptiveStep(L, tau=TAU, b=B)
    step(1, 100)
    expected = 2 * RELAXATION / (5 + 2 * TAU * (1 + delay / 2))
    assert step(1, delay) == pytest.approx(expected)
    assert step(1, delay) < 2 / (5 + 2 * TAU)


def test_adaptive_where_A_looks_beyond_the_next_block():
    step = AdaptiveStep(L, tau=TAU, b=B, reach=1.0)
    assert step(0, 0) == AdaptiveStep(L, tau=TAU, b=B)(0, 0)
    assert step(1, 6) == pytest.approx(RELAXATION * 2 / ((5 + 2 * TAU) * (1 + 6 * 2 / 4)))


@pytest.mark.parametrize("n", [1, 5, 60])
def test_power_iteration(n):
    a = np.random.default_rng(n).standard_normal((n, n), dtype=np.float32)
    found = largest_eigenvalue(lambda v: a.T @ (a @ v), n, np.random.default_rng(0))
    assert found == pytest.approx(np.linalg.norm(a, 2) ** 2, rel=0.03)


def test_power_iteration_of_zero():
    assert largest_eigenvalue(np.zeros_like, 4, np.random.default_rng(0)) == 0


def test_decaying_step_counts_the_updates_of_each_block():
    updates = Counter()
    step, found = DecayingStep(FixedStep(0.5), epochs=2, updates=updates.__getitem__), []
    for _ in range(4):
        found.append(step(0, 0))
        updates[0] += 1
    assert found == [0.5, 0.5 / 1.5, 0.25, 0.2]
    assert step(1, 0) == 0.5
