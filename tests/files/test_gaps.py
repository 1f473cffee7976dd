"""Views that are missing in problem files of our own, for the start."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.problem.parallel_beam import write_parallel_beam
from scans import SIDE, object_slices, projected

ANGLES = np.arange(90) * 2.0
GONE = (ANGLES > 100) & (ANGLES < 130)


def written(path, angles, y, truth, *, pixel=1.0, weights=None):
    block = (SIDE, SIDE)
    write_parallel_beam(path, truth / pixel, y, block=block, angles=angles, pixel=pixel)
    with h5py.File(path, "r+") as file:
        file["operator"].attrs["center"] = (SIDE - 1) / 2
        if weights is not None:
            file["measurements/weights"] = weights
    return read_problem(path).data


def start(data, *, gaps=True):
    """Filtered backprojection."""
    model, r = data.model([0], threads=1), data.filtered(range(data.groups))
    seen = model.footprint(0)
    r = np.take_along_axis(r, seen.first[:, None] + np.arange(seen.width), axis=1)
    return data.backproject(model, 0, r) if gaps else model.adjoint(0, r, None)


def error(x, truth):
    return float(np.linalg.norm(x - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def scanned():
    truth = object_slices(slices=1)
    return truth[0], projected(truth, ANGLES, (SIDE - 1) / 2)[0]


@pytest.mark.parametrize("pixel", [1.0, 0.25])
def test_a_gap_is_bridged(tmp_path, scanned, pixel):
    truth, y = scanned
    data = written(tmp_path / "p.h5", ANGLES[~GONE], y[~GONE], truth, pixel=pixel)
    whole = written(tmp_path / "whole.h5", ANGLES, y, truth, pixel=pixel)
    found, without = (error(pixel * start(data, gaps=gaps), truth) for gaps in (True, False))
    assert found < 0.75 * without
    np.testing.assert_array_equal(start(whole), start(whole, gaps=False))
    assert error(pixel * start(whole), truth) < found


def test_views_without_a_weight_are_a_gap(tmp_path, scanned):
    """And dead bins are bridged in the views beside it."""
    truth, y = scanned
    expected = start(written(tmp_path / "p.h5", ANGLES[~GONE], y[~GONE], truth))
    weights, broken = np.ones_like(y), y.copy()
    weights[GONE] = weights[:, 20] = 0
    broken[weights == 0] = np.nan
    found = start(written(tmp_path / "w.h5", ANGLES, broken, truth, weights=weights))
    assert error(found, expected) < 0.05


def test_nan_without_weights_is_refused_with_a_way_out(tmp_path, scanned):
    truth, y = scanned
    broken = y.copy()
    broken[3, 7] = np.nan
    data = written(tmp_path / "p.h5", ANGLES, broken, truth)
    with pytest.raises(ValueError, match=r"views 3 to 3 holds 1 NaN .* /measurements/weights of 0"):
        data.check()
