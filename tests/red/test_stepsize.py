"""Step sizes by their formulas, and the power iteration behind L."""

from collections import Counter

import numpy as np
import pytest

from asyncred.operators.spectrum import largest_eigenvalue
from asyncred.red.stepsize import (
    RELAXATION,
    AdaptiveStep,
    DecayingStep,
    FixedStep,
    ProximalStep,
    SafeStep,
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


def test_proximal_step_falls_to_that_of_block_jacobi():
    step = ProximalStep(spread=4.0, b=16)
    found = [step(0, delay) for delay in (0, 5, 15, 100)]
    np.testing.assert_allclose(found, [1, 1 / 2, 1 / 4, 1 / 4])
    assert ProximalStep(spread=1.0, b=1)(0, 3) == 1


@pytest.mark.parametrize("together", [1, 4, 16])
def test_proximal_steps_converge_on_coupled_blocks(together):
    """Block Jacobi in groups of blocks, as far apart as the delay says; A couples all of them."""
    rng = np.random.default_rng(0)
    b, n, mu = 16, 3, 0.1
    A = rng.standard_normal((30, 1)) + 0.3 * rng.standard_normal((30, b * n))  # much in common
    A /= np.linalg.norm(A, 2)
    H, blocks = A.T @ A + mu * np.eye(b * n), np.arange(b * n).reshape(b, n)
    P = [np.linalg.inv(H[np.ix_(i, i)]) for i in blocks]
    preconditioned = np.vstack([p @ H[i] for p, i in zip(P, blocks, strict=True)])
    lambda_max = np.linalg.eigvals(preconditioned).real.max()
    step = ProximalStep(spread=lambda_max, b=b)
    x, squares = rng.standard_normal(b * n), []
    for _ in range(60):
        for group in np.split(np.arange(b), b // together):
            G = H @ x
            for i in group:
                x[blocks[i]] -= step(i, together - 1) * P[i] @ G[blocks[i]]
        squares.append(x @ x)
    assert squares[-1] < 1e-3 * squares[0]
