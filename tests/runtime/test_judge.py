"""The judge: when a run is done, and when it goes wrong, from its samples alone."""

import math

import pytest

from asyncred.history import Reason, Sample
from asyncred.runtime.judge import BEYOND, PATIENCE, Judge, Tolerance


def sample(epoch, distance, step):
    return Sample(epoch, float(epoch), distance, step, math.nan, 0.0)


def judged(states, **settings):
    """The epoch and the reason at which a judge ends a run of so many (distance, step)."""
    judge = Judge(settings.pop("tolerance", Tolerance()), **settings)
    for epoch, (distance, step) in enumerate(states):
        found = sample(epoch, distance, step)
        judge.better(found)
        reason = judge.look(epoch, found)
        if reason is not None:
            return epoch, reason, judge
    return None, None, judge


def shrinking(q, epochs, first=0.1):
    return [(q ** (2 * k), first * q**k) for k in range(epochs)]


@pytest.mark.parametrize("q", [0.5, 0.9, 0.97])
def test_the_distance_left(q):
    """Steps s q^k add up to s q / (1 - q) after a step s."""
    *_, judge = judged(shrinking(q, 40))
    assert judge.distance_left() == pytest.approx(0.1 * q**39 * q / (1 - q), rel=1e-6)


def test_near_its_limit():
    """With slow steps x is far from its limit when one epoch changes it little."""
    fast, reason, _ = judged(shrinking(0.5, 99), tolerance=Tolerance(1e-4, near=True))
    slow, _, judge = judged(shrinking(0.99, 999), tolerance=Tolerance(1e-4, near=True))
    told, _, _ = judged(shrinking(0.99, 999), tolerance=Tolerance(1e-4))
    assert reason is Reason.TOLERANCE and fast == 10
    assert told == 688 and slow > told and judge.distance_left() < 2e-3


def repelled(top):
    """A fixed point that is neared for 60 epochs, and then repels."""
    return [(10 ** (-k / 12), 10 ** (-1 - k / 24)) for k in range(60)] + [
        (1e-5 * 1.1**k, 10**-3.5 * 1.05**k) for k in range(top)
    ]


def test_a_fixed_point_that_repels():
    epoch, reason, judge = judged(repelled(99))
    assert reason is Reason.DIVERGED and judge.kept.distance < 2e-5
    assert 60 + PATIENCE < epoch < 60 + 2 * math.log(BEYOND) / math.log(1.1)


@pytest.mark.parametrize(
    "settings",
    [{"first": 500.0}, {"noisy": True}],
)
def test_what_is_not_looked_at(settings):
    assert judged(repelled(99), **settings)[0] is None


def test_what_is_no_divergence():
    """A distance that falls, one that rises at first, and one at the level of rounding."""
    assert judged(shrinking(0.9, 200))[0] is None
    rising = [(0.01 * 1.5**k, 0.1) for k in range(9)]
    assert judged(rising + [(0.3 * d, s) for d, s in shrinking(0.9, 99)])[0] is None
    assert judged([*shrinking(0.5, 30), *[(1e-15, 1e-7), (1e-11, 1e-6)] * 30])[0] is None


def test_unrest_near_the_limit_is_no_divergence():
    """A thousandfold ||G||^2, but of what is nothing beside that of the start."""
    unrest = [(1e-8 * 1.3**k, 10**-3.5 * 1.05**k) for k in range(24)]
    assert unrest[-1][0] > BEYOND * unrest[0][0]
    assert judged(shrinking(0.5, 12) + unrest)[0] is None


def test_what_is_not_finite():
    assert judged([(1.0, 0.1), (math.nan, 0.1)])[:2] == (1, Reason.DIVERGED)


def test_the_best_is_kept_where_it_is_notably_better():
    judge = Judge(Tolerance())
    found = [judge.better(sample(k, d, 0.1)) for k, d in enumerate([1.0, 0.9, 0.5, 0.7, 0.45, 0.1])]
    assert found == [True, False, True, False, False, True]
    assert judge.kept.updates == 5


def objectives(judge, values, shrinking=1.0):
    """The epochs at which steps are to be halved, by F of one epoch after the other."""
    found = []
    for epoch, F in enumerate(values):
        step = 0.1 * shrinking**epoch
        now = Sample(epoch, float(epoch), 1.0, step, math.nan, 0.0, objective=F)
        judge.better(now)
        if judge.overshoots(epoch, now):
            found.append(epoch)
    return found


def test_a_rise_of_the_objective_halves_the_steps():
    """That lasts, however small the step may be; x was best where F was least."""
    judge = Judge(Tolerance())
    assert objectives(judge, [9, 5, 4, 4.5, 5.5]) == [4]
    assert judge.kept.objective == 4 and judge.is_behind(Sample(5, 5.0, 1, 0.1, 0, 0, 0, 5.5))
    falling = Judge(Tolerance())
    assert objectives(falling, [9 * 0.9**k for k in range(50)]) == []
    assert not falling.is_behind(falling.kept)


def test_a_swing_that_comes_to_rest_halves_no_steps():
    """F as of momentum: its steps shrink while it rises."""
    swings = [1 + 0.8**k * math.cos(k) for k in range(30)]
    held, resting = Judge(Tolerance()), Judge(Tolerance())
    assert objectives(held, swings)
    assert objectives(resting, swings, shrinking=0.8) == []


def test_of_the_objective_rounding_is_no_rise():
    ripple = [1 + 5e-5 * (-1) ** k for k in range(50)]
    assert objectives(Judge(Tolerance()), ripple) == []
    once = [9, 5, 4, 5, 3.9, 3.8, 5, 3.7]
    assert objectives(Judge(Tolerance()), once) == []


def test_steps_are_halved_six_times_at_most():
    assert len(objectives(Judge(Tolerance()), [2.0**k for k in range(60)])) == 6


def test_the_objective_is_looked_at_once_an_epoch():
    judge = Judge(Tolerance())
    rising = [Sample(1, 1.0, 1.0, 0.1, math.nan, 0.0, objective=F) for F in (1.0, 2.0, 3.0, 4.0)]
    assert not any(judge.overshoots(1 + 0.1 * k, now) for k, now in enumerate(rising))


def test_without_an_objective_nothing_is_halved():
    assert objectives(Judge(Tolerance()), [math.nan] * 9) == []


@pytest.mark.parametrize(("growth", "expected"), [(-0.01, None), (0.1, Reason.DIVERGED)])
def test_an_objective_that_falls_is_no_divergence(growth, expected):
    """However much ||G||^2 rises: x may pass a saddle."""
    judge, reasons = Judge(Tolerance()), []
    for epoch, (distance, step) in enumerate(repelled(99)):
        F = 10 + 90 * 0.8**epoch + max(0, epoch - 60) * growth
        now = Sample(epoch, float(epoch), distance, step, math.nan, 0.0, objective=F)
        judge.better(now)
        judge.overshoots(epoch, now)
        reasons.append(judge.look(epoch, now))
    assert next((reason for reason in reasons if reason), None) is expected
