"""Fan beams in a problem file: what is written is read, what is wrong is named."""

import re

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, FanGeometry, read_problem, write_fan_beam
from asyncred.operators import CurvedDetector, FlatDetector

SHAPE, VIEWS, BINS = (12, 10), 5, 19
ANGLES = np.arange(VIEWS) * 72.0
GEOMETRY = FanGeometry(source_axis=30.0, axis_detector=10.0, spacing=0.8)


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    truth, y = rng.random(SHAPE, np.float32), rng.random((VIEWS, BINS), np.float32)
    path = tmp_path / "fan.h5"
    write_fan_beam(path, truth, y, block=(6, 5), angles=ANGLES, geometry=GEOMETRY)
    return path


def test_what_was_written(path):
    problem = read_problem(path)
    data = problem.data
    assert (problem.grid.shape, len(problem.grid), data.groups, data.bins) == (SHAPE, 4, 5, 19)
    assert problem.kind == "fan_beam" and data.words == "5 views of 19 bins"
    np.testing.assert_allclose(data.angles, np.radians(ANGLES))
    # A pixel is as wide as a bin, seen at the axis.
    assert (data.center, data.pixel, data.width) == pytest.approx((9.0, 0.6, 1.0))
    assert (data.fan.source, data.fan.aside) == pytest.approx((50.0, 0.0))
    assert data.fan.detector == FlatDetector(0.02)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(data.y(range(1, 3)), file["measurements/y"][1:3])
    data.check()
    assert data.bytes_of(2) > 4 * (2 * 30 + VIEWS * BINS / 2)


def test_a_curved_detector_and_offsets(path):
    with h5py.File(path, "r+") as file:
        values = {"detector": "curved", "center": 8.25, "axis_offset": -0.5, "pixel": 0.5}
        file["operator"].attrs.update(values)
    data = read_problem(path).data
    assert (data.fan.source, data.fan.aside, data.center) == pytest.approx((60, -1, 8.25))
    assert data.fan.detector == CurvedDetector(0.02)
    asked = read_problem(path, Asked(center=7.5)).data
    assert asked.center == asked.fan.center == 7.5


def removed(name):
    return lambda file: file["operator"].attrs.pop(name)


def said(**values):
    return lambda file: file["operator"].attrs.update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            removed("source_axis"),
            "/operator source_axis is missing, expected the distance of the source from the "
            "rotation axis",
        ),
        (removed("axis_detector"), "/operator axis_detector is missing, expected that of the axis"),
        (said(source_axis=-3.0), "/operator source_axis is -3.0, expected a positive number"),
        (said(axis_detector=-3.0), "/operator axis_detector is -3.0, expected 0 or more"),
        (said(spacing=0), "/operator spacing is 0, expected a positive number"),
        (said(pixel="wide"), "/operator pixel is 'wide', expected a positive number"),
        (said(center=np.nan), "/operator center is nan, expected a finite number"),
        (said(detector="round"), "/operator detector is 'round', expected 'flat' or 'curved'"),
        (
            said(pixel=10.0),
            "/operator source_axis 30, axis_detector 10, spacing 0.8, pixel 10: the source is 3 "
            "pixels away from the rotation axis, expected more than 8.515: it would turn through "
            "the image of 12x10; all four are to be in one unit of length",
        ),
        (
            said(detector="curved", spacing=8.0, pixel=1.0),
            "the detector reaches 103.1 degrees away",
        ),
    ],
)
def test_what_is_wrong(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_problem(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
