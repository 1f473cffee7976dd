"""The anchored update on one process: its end, its stability, its bounds."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import Coupled, LocalResidual
from asyncred.red.anchored import AnchoredRed, Anchors, Pull
from asyncred.red.anchored_red import anchored_red
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, beginning
from asyncred.red.sampling import EpochOrder, OwnTurn
from asyncred.red.serial_red import LocalImage
from asyncred.red.solver import AfterUpdates, Silent
from asyncred.red.stepsize import FixedStep
from forward import Dense

GRID = BlockGrid((12, 14), (6, 5))  # 6 blocks, ragged at the right
B = len(GRID)
MODEL = Dense(GRID, groups=20, length=30, width=25)
TAU = 0.3
X = 0.5 + 0.4 * np.sin(np.arange(12 * 14).reshape(12, 14) / 9).astype(np.float32)
Y = MODEL.whole(GRID, X)


class Shrink:
    """D(x) = (1 - r) x: the Jacobian of I - D is r."""

    halo, align = 0, 1

    def __init__(self, r):
        self.r = np.float32(r)

    def __call__(self, x):
        return (1 - self.r) * x


def solve(
    r, updates, *, mu=0.5 * TAU, beta=0.5, rounds=2, gamma=1.0, bounds=None, monitor=None, start=0.0
):
    """x, and the operator with the residual of x."""
    A = Coupled(MODEL, LocalResidual(MODEL, -Y), weight=1.0, norms={}, norm=1.0)
    pace = beginning(B)
    pace[:, DONE] = 1

    def filled(value):
        return {i: np.full(region_shape(GRID.block(i)), value, np.float32) for i in range(B)}

    G = AnchoredRed(
        RedOperator(GRID, A, Shrink(r), tau=TAU),
        None,
        Anchors(filled(start), filled(0), filled(0)),
        dict(enumerate(pace)),
        Pull(mu, beta, 2, bounds),
    )
    x = LocalImage(G.windows, np.full(GRID.shape, start, np.float32))
    anchored_red(
        G,
        x,
        order=EpochOrder(range(B), [0]),
        turn=OwnTurn(range(B), rounds),
        step=FixedStep(gamma),
        relaxed=lambda: 1.0,
        stop=AfterUpdates(updates),
        monitor=monitor or Silent(),
    )
    return x.array, G


def exact(r):
    """The x where A^T (A x - y) + tau r x = 0, in double precision."""
    columns = []
    for unit in np.eye(X.size, dtype=np.float32):
        columns.append(MODEL.whole(GRID, unit.reshape(X.shape)).ravel())
    A = np.array(columns, np.float64).T
    return np.linalg.solve(A.T @ A + TAU * r * np.eye(X.size), A.T @ Y.ravel()).reshape(X.shape)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"mu": TAU, "beta": 0.0},
        {"rounds": 0},
        {"rounds": 7, "gamma": 0.5},
    ],
)
def test_it_ends_where_G_is_zero_whatever_its_parameters(parameters):
    found, _ = solve(0.7, 1500, **parameters)
    assert np.linalg.norm(found - exact(0.7)) <= 1e-4 * np.linalg.norm(found)


def test_more_rounds_need_fewer_calls_of_the_denoiser():
    """D(x) = 0 and mu = tau: all that is left is the data term, with anchors that stay."""
    star = exact(1.0)

    def error(rounds):
        found, _ = solve(1.0, 4 * B, mu=TAU, beta=0.0, rounds=rounds)
        return np.linalg.norm(found - star)

    assert error(4) < 0.1 * error(0)


@pytest.mark.parametrize(("beta", "stable"), [(0.0, False), (0.5, True)])
def test_momentum_makes_larger_eigenvalues_stable(beta, stable, monkeypatch):
    """tau r/mu = 2.4: beyond 2, and below 2 (1 + 0.5), where A sees nothing."""
    monkeypatch.setattr(MODEL, "A", [0 * a for a in MODEL.A])
    found, _ = solve(1.2, 60 * B, beta=beta, start=1.0)
    assert (np.abs(found).max() < 1e-3) == stable


def test_bounds_hold_and_the_end_is_stationary_on_the_box():
    seen = []

    class Look(Silent):
        def record(self, i, x_i, G_i, step_i, *, delay):
            seen.append((x_i.min(), x_i.max()))

    x, G = solve(0.7, 1500, bounds=(0.3, 0.6), monitor=Look())
    lowest, highest = np.min(seen, axis=0)[0], np.max(seen, axis=0)[1]
    assert lowest >= 0.3 - 1e-6 and highest <= 0.6 + 1e-6
    gradient = np.empty_like(x)
    for i in range(B):
        block = GRID.block(i)
        gradient[block] = G.A.gradient(i, x[block], None) + TAU * np.float32(0.7) * x[block]
    toward = np.clip(x - gradient, 0.3, 0.6)
    assert np.abs(toward - x).max() < 1e-4
    assert (x > 0.599).any() and (x < 0.301).any()


def test_the_monitor_is_told_G_and_the_step_of_the_anchor():
    told = []

    class Listener(Silent):
        def record(self, i, x_i, G_i, step_i, *, delay):
            told.append((float(np.linalg.norm(G_i)), float(np.linalg.norm(step_i))))

    solve(0.7, 100 * B, monitor=Listener())
    first, last = np.array(told[:B]), np.array(told[-B:])
    assert (last.max(axis=0) < 1e-3 * first.max(axis=0)).all()
