"""Tomography in a problem file: what is written is read, what is wrong is named."""

import re

import numpy as np
import pytest

import h5py

from asyncred.files.problem import Asked, read_problem, write_parallel_beam

SHAPE, VIEWS, BINS = (12, 10), 5, 19
ANGLES = np.arange(VIEWS) * 36.0


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    truth, y = rng.random(SHAPE, np.float32), rng.random((VIEWS, BINS), np.float32)
    path = tmp_path / "ct.h5"
    write_parallel_beam(path, truth, y, block=(6, 5), angles=ANGLES, pixel=0.25)
    return path


def test_what_was_written(path):
    problem = read_problem(path)
    data = problem.data
    assert (problem.grid.shape, len(problem.grid), data.groups, data.bins) == (SHAPE, 4, 5, 19)
    np.testing.assert_allclose(data.angles, np.radians(ANGLES))
    assert (data.spacing, data.center, data.pixel) == (1.0, 9.0, 0.25)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(data.y(range(1, 3)), file["measurements/y"][1:3])
    data.check()


def test_radians_center_and_a_stack(path):
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"][:]
        del file["measurements/y"], file["operator/angles"], file["truth"]
        file["measurements/y"] = np.stack([y, 2 * y])
        file["operator/angles"] = np.radians(ANGLES)
        file["operator/angles"].attrs["units"] = "rad"
        file["operator"].attrs.update({"center": 8.25, "spacing": 2})
    data = read_problem(path, Asked(images=(1, 2))).data
    np.testing.assert_allclose(data.angles, np.radians(ANGLES))
    assert (data.center, data.spacing) == (8.25, 2.0)
    np.testing.assert_array_equal(data.y(range(VIEWS)), 2 * y)


def without_units(file):
    del file["operator/angles"].attrs["units"]


def without_angles(file):
    del file["operator/angles"]


def one_angle_less(file):
    del file["operator/angles"]
    file["operator/angles"] = ANGLES[1:]
    file["operator/angles"].attrs["units"] = "deg"


def an_endless_angle(file):
    file["operator/angles"][2] = np.inf


def integers(file):
    del file["measurements/y"]
    file["measurements/y"] = np.zeros((VIEWS, BINS), np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_units, "/operator/angles units is None, expected 'deg' or 'rad'"),
        (without_angles, "/operator/angles is missing, expected a dataset"),
        (one_angle_less, "/measurements/y is float32 [5, 19], expected float32 [4, bins]"),
        (an_endless_angle, "/operator/angles is float64 [5], expected numbers [views], finite"),
        (integers, "/measurements/y is int32 [5, 19], expected float32 [5, bins]"),
        (
            lambda file: file["operator"].attrs.update({"pixel": 0.0}),
            "/operator pixel is 0.0, expected a positive number",
        ),
        (
            lambda file: file["operator"].attrs.update({"center": "middle"}),
            "/operator center is 'middle', expected a finite number",
        ),
    ],
)
def test_what_is_wrong(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_problem(path)


def test_nan_is_found_where_it_is(path):
    with h5py.File(path, "r+") as file:
        file["measurements/y"][3, 4] = np.nan
    data = read_problem(path).data
    data.y(range(3))
    message = "/measurements/y: views 3 to 3 holds 1 NaN or Inf, expected finite numbers"
    with pytest.raises(ValueError, match=re.escape(message)):
        data.check()


def test_the_middle_bin_and_no_size_of_an_image_that_has_one(path):
    data = read_problem(path, Asked(center="middle")).data
    assert data.center == (data.bins - 1) / 2
    with pytest.raises(ValueError, match="--size is 80, but the file says how large its image is"):
        read_problem(path, Asked(size=80))
