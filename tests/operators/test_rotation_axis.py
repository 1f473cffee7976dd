"""The rotation axis: found to a fraction of a bin, whatever turn the views make, or not at all."""

import numpy as np
import pytest

from asyncred.operators.axis_estimate import rival
from asyncred.operators.axis_harmonics import polynomials_of
from asyncred.operators.axis_opposing import opposing
from asyncred.operators.rotation_axis import find_axis
from scans import HALF_TURN, SIDE, object_slices, projected

WHOLE_TURN = np.arange(60) * 6.0
TURNS = {
    "half": HALF_TURN,
    "half, 180 degrees included": np.linspace(0, 180, 61),
    "half, backwards from 30 degrees": 30 - HALF_TURN,
    "half, uneven": HALF_TURN + np.random.default_rng(5).uniform(-1, 1, HALF_TURN.size),
    "half, three views lost": np.delete(HALF_TURN, [20, 21, 47]),
    "half, two step widths": np.r_[np.arange(30) * 2.0, 60 + np.arange(30) * 4.0],
    "half, the last sixth never taken": HALF_TURN[:50],
    "170 degrees": np.arange(60) * 170 / 60,
    "golden angles": np.arange(70) * 137.50776,
    "200 degrees, shuffled": np.random.default_rng(2).permutation(70) * 200 / 70,
    "whole": WHOLE_TURN,
    "whole, without opposing views": np.arange(61) * 360 / 61,
    "one and a half": np.arange(90) * 6.0,
}


def noisy(y, photons, seed=0):
    counts = np.random.default_rng(seed).poisson(photons * np.exp(-y))
    return (-np.log(np.maximum(counts, 1) / photons)).astype(np.float32)


@pytest.mark.parametrize("offset", [-7.3, 0, 4.6])
@pytest.mark.parametrize("turn", TURNS)
def test_found_in_noise(turn, offset):
    angles, center = TURNS[turn], (SIDE - 1) / 2 + offset
    y = noisy(projected(object_slices(), angles, center), photons=1000)
    found = find_axis(y, np.radians(angles))
    assert abs(found.center - center) <= max(0.1, 4 * found.error) <= 0.5
    assert found.doubt is None and found.silent == ()


@pytest.mark.parametrize("offset", [-7.3, 4.6])
@pytest.mark.parametrize(("turn", "near"), [(HALF_TURN, 0.3), (WHOLE_TURN, 0.1)], ids=str)
def test_stripes_of_the_detector_do_not_hold_it(turn, near, offset):
    center = (SIDE - 1) / 2 + offset
    y = projected(object_slices(), turn, center)
    y[..., 20] += 0.5
    y[..., 16] *= 0.8
    y[..., 40] = 7
    assert abs(find_axis(y, np.radians(turn)).center - center) <= near


def test_an_object_wider_than_the_detector_over_a_whole_turn():
    wide = object_slices(side=96, slices=1, radius=0.45)
    center = 47.5 + 4.6
    y = np.ascontiguousarray(projected(wide, WHOLE_TURN, center)[..., 16:-16])
    assert abs(find_axis(y, np.radians(WHOLE_TURN)).center - (center - 16)) <= 0.3


@pytest.mark.parametrize("views", [90, 91])
@pytest.mark.parametrize("left", [True, False])
def test_half_acquisition(left, views):
    """The detector sees one side of the object, and a little beyond the axis."""
    angles = 17 + np.arange(views) * 360 / views
    whole = projected(object_slices(side=120, slices=2, radius=0.42), angles, 59.5)
    y = np.ascontiguousarray(whole[..., :72] if left else whole[..., 48:])
    found = find_axis(noisy(y, photons=5000), np.radians(angles))
    assert abs(found.center - (59.5 if left else 11.5)) <= 0.3 and found.doubt is None
    assert "opposing views" in found.how


def test_what_it_is_found_from():
    y = projected(object_slices(slices=1), WHOLE_TURN, 30.0)
    assert find_axis(y[:, :30], np.radians(WHOLE_TURN[:30])).how == "30 views over 174 degrees"
    y = noisy(y, photons=300)
    assert find_axis(y, np.radians(WHOLE_TURN + 360 * 7)).how.endswith("over 354 degrees")


@pytest.mark.parametrize("angles", [np.arange(40) * 3.0, np.zeros(1), np.arange(6) * 30.0])
def test_angles_that_do_not_tell(angles):
    y = projected(object_slices(), angles, 36.0)
    with pytest.raises(ValueError, match=rf"{angles.size} views over .* degrees of 3 slices do no"):
        find_axis(y, np.radians(angles))


def test_slices_that_tell_nothing_are_left_out():
    y = noisy(projected(object_slices(slices=4), HALF_TURN, 35.0), photons=2000)
    rng = np.random.default_rng(1)
    y[0] = 0
    y[2] = rng.normal(0, 1, y[2].shape) + rng.normal(0, 1, y.shape[2])
    found = find_axis(y, np.radians(HALF_TURN), rows=[5, 8, 11, 14])
    assert found.silent == (5, 11) and abs(found.center - 35) <= 0.2


@pytest.mark.parametrize("turn", ["half", "whole", "golden angles"])
def test_a_pattern_of_the_detector_is_no_object(turn):
    rng = np.random.default_rng(3)
    y = np.zeros((3, len(TURNS[turn]), 96)) + rng.normal(0, 0.2, (3, 1, 96))
    with pytest.raises(ValueError, match="do not tell it"):
        find_axis(np.float32(y + rng.normal(0, 0.02, y.shape)), np.radians(TURNS[turn]))


def test_slices_that_disagree_are_a_doubt():
    y = projected(object_slices(), HALF_TURN, 35.0)
    y[2] = projected(object_slices(), HALF_TURN, 39.0)[2]
    found = find_axis(noisy(y, photons=5000), np.radians(HALF_TURN), rows=[0, 10, 20])
    assert abs(found.center - 35) <= 0.2
    assert "slices disagree" in found.doubt and "slice 20 at bin 3" in found.doubt


def test_opposing_views():
    first, late = np.arange(0, 180, 10.0), np.tile([0.5, 5, -0.5], 6)  # a tenth of a step is 1
    pairs = opposing(np.radians(np.r_[first + 180 + late + 3600, first - 720]))
    assert len(pairs) == 24  # none of those that are 5 degrees late
    np.testing.assert_array_equal(pairs.share % 1, 0)
    single = opposing(np.radians(np.arange(181)))
    assert sorted(single.views) == [0, 180]


def test_an_opposing_view_between_two_is_interpolated():
    pairs = opposing(np.radians(np.arange(91) * 360 / 91))
    assert len(pairs) == 91
    np.testing.assert_allclose(pairs.share, 0.5, atol=1e-6)
    y = np.arange(91.0)[:, None] * np.ones(4)
    np.testing.assert_allclose(pairs.opposing(y)[0], 45.5)


def test_polynomials_are_those_that_the_views_tell_apart():
    even, odd = polynomials_of(np.radians(HALF_TURN))
    assert 50 <= even.last <= 60 and 50 <= odd.last <= 60
    for one in (even, odd):
        np.testing.assert_allclose(one.basis.T @ one.basis, np.eye(len(one.orders)), atol=1e-9)
    even, _ = polynomials_of(np.radians(WHOLE_TURN))  # 30 directions
    assert even.last < 30
    assert polynomials_of(np.radians(np.arange(40) * 3.0)) is None


def test_the_second_best_place():
    score = np.array([0, 3, 1, 1, 4, 9, 10, 9, 2, 1, 5, 0.0])
    assert rival(score, 6, apart=2) == 0.5
    assert rival(score[:10], 6, apart=2) == 0.3
