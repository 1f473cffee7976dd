"""Guard, momentum, drafts and continuation: on linear problems whose eigenvalues are known."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid, BlockWindows
from asyncred.operators.local import LocalModel
from asyncred.red.continuation import Continued
from asyncred.red.draft import PATIENCE, SMALL, DraftedRed
from asyncred.red.guard import Guard
from asyncred.red.momentum import HeavyBallRed
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, DRAFTED, SHARE, beginning
from asyncred.red.proximal import ProximalRed
from asyncred.red.sampling import EpochOrder, FullBatch
from asyncred.red.serial_red import LocalImage, bc_red
from asyncred.red.solver import AfterUpdates, Silent
from asyncred.red.stepsize import FixedStep

GRID = BlockGrid((8, 8), (4, 8))


class Nothing(LocalModel):
    """A = 0: all of x is in the null space, where only the denoiser has a say."""

    def gradient(self, i, x_i, rows):
        return np.zeros_like(x_i)

    def normal(self, i, v):
        return np.zeros_like(v)

    def measurements(self, i):
        return 1


class Shrink:
    """D(x) = (1 - r) x + r c, pixel by pixel: I - D has the eigenvalue r, and the fixed point c."""

    halo, align = 0, 1

    def __init__(self, r, c=2.0):
        self.r, self.c, self.calls = np.float32(r), np.float32(c), 0

    def __call__(self, x):
        self.calls += 1
        return (1 - self.r) * x + self.r * self.c


def proximal(r, c=2.0):
    """The factor of an update is 1 - gamma r here: mu = tau = 1."""
    return ProximalRed(GRID, Nothing(), Shrink(r, c), tau=1.0, mu=1.0, steps=2)


def image():
    return LocalImage(BlockWindows(GRID, 0), np.ones(GRID.shape, np.float32))


def still():
    return {i: np.zeros((4, 8), np.float32) for i in range(2)}


def none():
    """No draft was made yet."""
    return dict(enumerate(beginning(2)))


def fresh():
    """No drafts are to be made."""
    pace = none()
    for found in pace.values():
        found[DONE] = 1
    return pace


def iterate(G, updates, *, guarded=True, x=None, begun=lambda: True):
    """BC-RED; the image, the guard and how often it gave up."""
    given_up = []
    step, monitor = FixedStep(1.0), Silent()
    guard = Guard(step, monitor, blocks=2, begun=begun, give_up=lambda: given_up.append(1))
    watched = {"step": guard, "monitor": guard}
    plain = {"step": step, "monitor": monitor}
    x = x or image()
    order = EpochOrder(range(2), [0])
    stop = AfterUpdates(updates)
    bc_red(G, x, order=order, minibatch=FullBatch(), stop=stop, **(watched if guarded else plain))
    return x.array, guard, len(given_up)


def test_guard_leaves_alone_what_converges():
    found, guard, given_up = iterate(proximal(1.8), 100)
    assert guard.relaxation == 1 and not given_up
    np.testing.assert_allclose(found, 2, atol=1e-4)


@pytest.mark.parametrize("r", [2.5, 5.0, 20.0])
def test_guard_relaxes_what_would_diverge(r):
    """1 - gamma r must lie above -1: gamma is halved until it does."""
    unguarded, *_ = iterate(proximal(r), 60, guarded=False)
    assert not np.abs(unguarded - 2).max() < 1e4
    found, guard, given_up = iterate(proximal(r), 400)
    assert not given_up and guard.relaxation < 2 / r <= 2 * 2 * guard.relaxation
    np.testing.assert_allclose(found, 2, atol=1e-2)


def test_guard_gives_up_where_no_step_would_do():
    """r < 0: D is more than the identity away from its fixed point. Shorter steps are no help."""
    _, guard, given_up = iterate(proximal(-0.5), 200)
    assert given_up and guard.relaxation == 1


def test_guard_lets_directions_grow_that_go_on():
    """Twice as long as the ones before, time and again, but never back: no step is shortened."""
    guard = Guard(FixedStep(1.0), Silent(), blocks=1, begun=lambda: True, give_up=lambda: None)
    for k in range(6):
        direction = 2.0**k * np.ones(4)
        guard.record(0, np.ones(4), direction, -direction, delay=0)
    assert guard.relaxation == 1


def test_guard_waits_until_the_iteration_is_the_final_one():
    found, guard, _ = iterate(proximal(5.0), 20, begun=lambda: False)
    assert guard.relaxation == 1 and np.abs(found).max() > 1e4


def test_guard_tells_the_monitor_what_was_done():
    class Listener:
        def __init__(self):
            self.told = []

        def record(self, i, x_i, G_i, step_i, *, delay):
            self.told.append((i, float(step_i[0, 0]), delay, float(x_i[0, 0])))

    listener = Listener()
    guard = Guard(FixedStep(0.5), listener, blocks=1, begun=lambda: True, give_up=lambda: None)
    one = np.ones((2, 2), np.float32)
    for scale in (1, -1, 3, -3):
        guard.record(0, one, scale * one, -guard(0, 7) * scale * one, delay=7)
    assert [step for _, step, _, _ in listener.told] == [-0.5, 0.5, -1.5, 0.75]
    assert all((i, delay, x) == (0, 7, 1.0) for i, _, delay, x in listener.told)


def errors(G, updates):
    x, out = image(), []
    for _ in range(updates // 2):
        iterate(G, 2, guarded=False, x=x)
        out.append(float(np.abs(x.array - 2).max()))
    return out


def test_momentum_is_faster_where_the_eigenvalue_is_small():
    r, beta = 0.05, 0.3
    plain = errors(proximal(r), 40)
    ball = errors(HeavyBallRed(proximal(r), beta=beta, velocity=still(), pace=fresh()), 40)
    assert plain[-1] == pytest.approx((1 - r) ** 20, rel=1e-3)
    rate = np.roots([1, -(1 + beta - r), beta]).max()
    assert ball[-1] / ball[-2] == pytest.approx(rate, rel=1e-3)
    assert rate < 1 - r / (1 - beta) + 0.01


def test_momentum_is_stable_up_to_a_larger_eigenvalue():
    assert errors(proximal(2.3), 200)[-1] > 1e6
    assert (
        errors(HeavyBallRed(proximal(2.3), beta=0.3, velocity=still(), pace=fresh()), 200)[-1]
        < 1e-3
    )


def test_momentum_goes_on_from_what_was_kept():
    velocity = still()
    whole = errors(HeavyBallRed(proximal(0.2), beta=0.3, velocity=velocity, pace=fresh()), 12)
    velocity, x = still(), image()
    iterate(
        HeavyBallRed(proximal(0.2), beta=0.3, velocity=velocity, pace=fresh()),
        6,
        guarded=False,
        x=x,
    )
    kept = {i: v.copy() for i, v in velocity.items()}
    G = HeavyBallRed(proximal(0.2), beta=0.3, velocity=kept, pace=fresh())
    found, *_ = iterate(G, 6, guarded=False, x=x)
    assert float(np.abs(found - 2).max()) == whole[-1]


def test_drafts_until_the_steps_are_small():
    """The cheaper denoiser ends at 2.02 and hands over; the fixed point is the right one's."""
    G, cheaper, drafts = proximal(0.5), proximal(0.5, 2.02), none()
    found, *_ = iterate(DraftedRed(G, cheaper, drafts, scale=1.0), 60, guarded=False)
    np.testing.assert_allclose(found, 2, atol=1e-4)
    for i in (0, 1):
        updates, done = drafts[i][[DRAFTED, DONE]]
        size = [0.5 * 0.5**k * 1.02 for k in range(12)]  # of steps
        assert done and abs(updates - next(k for k in range(12) if size[k] < SMALL)) <= 1
    assert cheaper.D.calls + G.D.calls == 60


class Around(Shrink):
    """A rotation by a right angle of pairs of rows about c: nothing ever shrinks."""

    def __call__(self, x):
        y = x - self.c
        return np.concatenate([-y[2:], y[:2]]) + self.c


def test_drafts_end_where_their_steps_do_not_shrink():
    pace, G = none(), proximal(0.5)
    cheaper = ProximalRed(GRID, Nothing(), Around(1.0), tau=1.0, mu=1.0, steps=2)
    found, *_ = iterate(DraftedRed(G, cheaper, pace, scale=1.0), 60, guarded=False)
    assert all(pace[i][DONE] and pace[i][DRAFTED] == PATIENCE + 1 for i in (0, 1))
    np.testing.assert_allclose(found, 2, atol=1e-4)


def test_momentum_is_damped_in_a_cycle():
    """Steps shorten along with it, so that the same eigenvalues are stable."""
    pace, beta = fresh(), 0.3
    G = ProximalRed(GRID, Nothing(), Around(1.0), tau=1.0, mu=1.0, steps=2)
    iterate(HeavyBallRed(G, beta=beta, velocity=still(), pace=pace), 1000, guarded=False)
    assert all(pace[i][SHARE] == 0 for i in (0, 1))
    limit = proximal(2.5)
    ball = HeavyBallRed(limit, beta=beta, velocity=still(), pace=pace)
    assert errors(ball, 200)[-1] < 1e-3 and errors(proximal(2.5), 200)[-1] > 1e3


def test_drafts_go_on_where_they_were_cut():
    drafts = none()
    drafts[0][[DRAFTED, DONE]], drafts[1][DRAFTED] = (3, 1), 2
    G, cheaper = proximal(0.5), proximal(0.5, 2.02)
    G_i = DraftedRed(G, cheaper, drafts, scale=1.0)
    x = np.ones((4, 8), np.float32)
    G_i.block(0, x)
    assert (G.D.calls, cheaper.D.calls) == (1, 0) and drafts[0][DRAFTED] == 3
    G_i.block(1, x)
    assert (G.D.calls, cheaper.D.calls) == (1, 1) and drafts[1][DRAFTED] == 3


def test_continuation_begins_at_a_tenth_and_ends_at_the_denoiser():
    seen, now = [], [0.0]

    class Recorder:
        halo, align = 3, 2

        def __call__(self, x):
            seen.append(float(x[0, 0]))
            return x

    D = Continued(Recorder(), lambda: now[0], 4.0)
    x = np.full((2, 2), 8.0, np.float32)
    for now[0] in (0.0, 2.0, 4.0, 9.0):
        np.testing.assert_allclose(D(x), x, rtol=1e-6)
    np.testing.assert_allclose(seen, [0.8, 8 * 10**-0.5, 8.0, 8.0], rtol=1e-6)
    assert (D.halo, D.align) == (3, 2)


def test_wrappers_keep_what_the_loop_asks_of_G():
    G = proximal(0.5)
    for wrapped in (
        DraftedRed(G, G, none(), scale=1.0),
        HeavyBallRed(G, beta=0.3, velocity=still(), pace=fresh()),
    ):
        assert isinstance(wrapped, RedOperator)
        assert (wrapped.grid, wrapped.A, wrapped.tau) == (G.grid, G.A, G.tau)
        assert wrapped.windows == G.windows
