"""The rotation axis: found to a fraction of a bin, whatever turn the views make."""

import numpy as np
import pytest

from asyncred.operators.rotation_axis import find_axis, half_turn, opposing
from scans import HALF_TURN, SIDE, object_slices, projected

WHOLE_TURN = np.arange(60) * 6.0
TURNS = {
    "half": HALF_TURN,
    "half, 180 degrees included": np.linspace(0, 180, 61),
    "half, backwards from 30 degrees": 30 - HALF_TURN,
    "half, uneven": HALF_TURN + np.random.default_rng(5).uniform(-1, 1, HALF_TURN.size),
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
    found, _ = find_axis(y, np.radians(angles))
    assert abs(found - center) <= 0.2
    one, _ = find_axis(y[1:2], np.radians(angles))
    assert abs(one - center) <= 0.3


@pytest.mark.parametrize("offset", [-7.3, 4.6])
@pytest.mark.parametrize(("turn", "near"), [(HALF_TURN, 0.3), (WHOLE_TURN, 0.1)], ids=str)
def test_stripes_of_the_detector_do_not_hold_it(turn, near, offset):
    center = (SIDE - 1) / 2 + offset
    y = projected(object_slices(), turn, center)
    y[..., 20] += 0.5
    y[..., 16] *= 0.8
    y[..., 40] = 7
    assert abs(find_axis(y, np.radians(turn))[0] - center) <= near


def test_an_object_wider_than_the_detector_over_a_whole_turn():
    wide = object_slices(side=96, slices=1, radius=0.45)
    center = 47.5 + 4.6
    y = np.ascontiguousarray(projected(wide, WHOLE_TURN, center)[..., 16:-16])
    assert abs(find_axis(y, np.radians(WHOLE_TURN))[0] - (center - 16)) <= 0.3


def test_what_it_is_found_from():
    y = projected(object_slices(slices=1), WHOLE_TURN, 30.0)
    assert find_axis(y, np.radians(WHOLE_TURN))[1] == "30 pairs of opposing views"
    assert find_axis(y[:, :30], np.radians(WHOLE_TURN[:30]))[1] == "30 views over half a turn"


@pytest.mark.parametrize("angles", [np.arange(40) * 3.0, np.zeros(1), np.arange(6) * 30.0])
def test_angles_that_do_not_tell(angles):
    y = np.ones((1, angles.size, 16), np.float32)
    with pytest.raises(ValueError, match=rf"{angles.size} angles over .* degrees, expected 8"):
        find_axis(y, np.radians(angles))


def test_opposing_views():
    first, late = np.arange(0, 180, 10), np.tile([0.5, 5, -0.5], 6)  # a tenth of a step is 1
    angles = np.radians(np.r_[first + 180 + late, first])
    pairs = {(int(a), int(b)) for a, b in opposing(angles)}
    assert pairs == {(18 + k, k) for k in range(18) if k % 3 != 1}


def test_half_turn_needs_views_everywhere():
    assert half_turn(np.radians([120, 0, 60, 180, 240])).tolist() == [1, 2, 0]
    assert half_turn(np.radians(np.arange(0, 120, 5))).size == 0
