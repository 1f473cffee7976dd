"""Attenuation is not negative, unless the measurements say so."""

from dataclasses import replace

import numpy as np
import pytest

from asyncred.files.problem import Asked, Corrections, read_problem
from asyncred.files.problem.absorption import absorbing
from asyncred.runtime.shades import Values, bounds_of
from scans import SIDE, object_slices, projected, scan, write_data_exchange

CENTER = (SIDE - 1) / 2


@pytest.mark.parametrize("photons", [300.0, 20000.0])
def test_a_scan_that_absorbs_has_a_floor(tmp_path, photons):
    path = write_data_exchange(tmp_path / "scan.h5", scan(offset=0, gain=photons))
    assert read_problem(path, Asked(center=CENTER)).data.floor == 0


def test_a_beam_brighter_than_its_white_field_has_none(tmp_path):
    counted = scan(offset=0, gain=20000.0)
    dark = counted.dark.mean(0)
    data = (dark + (counted.data - dark) * 1.05).round().astype(np.uint16)
    path = write_data_exchange(tmp_path / "scan.h5", replace(counted, data=data))
    assert read_problem(path, Asked(center=CENTER)).data.floor is None
    asked = Asked(center=CENTER, corrections=Corrections(air=True))
    assert read_problem(path, asked).data.floor == 0


def test_some_views_that_are_too_bright_are_enough():
    y = projected(object_slices(), np.arange(60.0) * 3, CENTER)
    assert absorbing(y) and absorbing(y[:, :3, :5])
    y[:, 20:36] -= 0.05
    assert not absorbing(y)
    assert absorbing(y + np.random.default_rng(0).normal(size=y.shape).astype(np.float32))


def test_the_floor_is_the_bound_where_nobody_says_another():
    pixels = np.linspace(-0.2, 0.8, 11, dtype=np.float32)
    start = Values(pixels, pixels, (-0.2, 0.8))
    given = (0.0, 1.0), start
    assert bounds_of("auto", *given, potential=True) == pytest.approx((-0.5, 1.3))
    assert bounds_of("auto", *given, potential=True, floor=0.0) == pytest.approx((0.0, 1.3))
    assert bounds_of("none", *given, potential=True, floor=0.0) is None
    assert bounds_of((-1.0, None), *given, potential=True, floor=0.0) == (-1.0, np.inf)
