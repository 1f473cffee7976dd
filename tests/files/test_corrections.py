"""Corrections that the user may ask for: zingers, rings, the level of the beam in the air."""

from dataclasses import replace

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.errors import BadImage
from asyncred.files.problem import Asked, Corrections, read_problem
from asyncred.files.problem.air import air_columns, levels
from asyncred.files.problem.rings import stripes
from asyncred.runtime.config import RunConfig
from scans import (
    HALF_TURN,
    SIDE,
    VIEWS,
    object_slices,
    projected,
    scan,
    write_data_exchange,
    write_nxtomo,
)

CENTER = (SIDE - 1) / 2 + 4.6
WRITERS = {"data exchange": write_data_exchange, "nxtomo": write_nxtomo}
BOTH = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture(scope="module")
def counted():
    return scan(offset=4.6, gain=20000.0)


@pytest.fixture(scope="module")
def exact():
    return projected(object_slices(), HALF_TURN, CENTER)


def dimmed(counted, level):
    """The same counts of a beam of some levels [views]."""
    dark = counted.dark.mean(0)
    data = dark + (counted.data - dark) * np.broadcast_to(level, VIEWS)[:, None, None]
    return replace(counted, data=data.round().astype(np.uint16))


def error_of(data, exact, k=1):
    return float(np.abs(data.of(k).y(range(VIEWS)) - exact[k]).mean())


@BOTH
def test_zingers_are_replaced_unless_they_are_wanted(tmp_path, counted, exact, write):
    data = counted.data.copy()
    data[np.random.default_rng(0).random(data.shape) < 0.003] = 60000
    path = write(tmp_path / "scan.h5", replace(counted, data=data))
    clean = read_problem(write(tmp_path / "clean.h5", counted)).data
    found = read_problem(path).data
    kept = read_problem(path, Asked(corrections=Corrections(zingers=False), center=CENTER)).data
    assert error_of(found, exact) < error_of(clean, exact) + 0.001 < error_of(kept, exact)
    assert any("zingers (replaced by the median about them" in note for note in found.notes)
    assert not any("zingers" in note for note in kept.notes)
    y = found.of(2).y(range(VIEWS))
    for views in (range(1), range(11, 30), range(58, 60)):
        np.testing.assert_array_equal(found.of(2).y(views), y[views.start : views.stop])


@BOTH
@pytest.mark.parametrize("level", [0.9, np.linspace(1.1, 0.8, VIEWS)], ids=["lower", "drifting"])
def test_the_level_of_the_beam_is_that_of_the_air(tmp_path, counted, exact, write, level):
    path = write(tmp_path / "scan.h5", dimmed(counted, level))
    without = read_problem(path, Asked(center=CENTER))
    found = read_problem(path, Asked(corrections=Corrections(air=True))).data
    assert error_of(found, exact) < 0.015 < error_of(without.data, exact)
    assert abs(found.center - CENTER) < 0.1
    words = [note for note in found.notes if "the beam beside the object is" in note]
    assert len(words) == 1 and words[0].endswith("and taken for 1 (--air)")
    if np.ndim(level) == 0:
        doubts = [
            line for line in without.data.doubts(None) if "--air auto takes its level" in line
        ]
        assert len(doubts) == 1 and "is 0.9" in doubts[0]
    y = found.of(0).y(range(VIEWS))
    np.testing.assert_array_equal(found.of(0).y(range(20, 41)), y[20:41])


def test_an_object_as_wide_as_the_detector_leaves_no_air(tmp_path):
    wide = scan(offset=0, truth=object_slices(radius=0.49))
    path = write_data_exchange(tmp_path / "scan.h5", wide)
    with pytest.raises(BadImage, match="shows no air beside the object at either edge") as error:
        read_problem(path, Asked(corrections=Corrections(air=True)))
    assert str(error.value).endswith("--air none leaves the level of the beam as it is")


def test_air_is_told_from_an_object_at_one_edge(exact):
    noise = 1 + 0.005 * np.random.default_rng(0).standard_normal(exact[1].shape)
    T = (np.exp(-exact[1]) * noise).astype(np.float32)
    beside = exact[1].max(axis=0) == 0
    found = air_columns(T)
    assert found.any() and not (found & ~beside).any()
    np.testing.assert_allclose(levels(T * 0.7, found), 0.7, rtol=0.01)
    cut = air_columns(np.ascontiguousarray(T[:, :45]))  # the object is at the right edge
    np.testing.assert_array_equal(cut, found[:45] & (np.arange(45) < 32))


WIDE = 192


@pytest.fixture(scope="module")
def wide():
    """A scan of more bins, in which a stripe is narrow, and its line integrals."""
    truth, angles = object_slices(side=WIDE, slices=1), np.arange(90) * 2.0
    found = scan(offset=3.2, angles=angles, gain=20000.0, truth=truth)
    return found, projected(truth, angles, (WIDE - 1) / 2 + 3.2)


@BOTH
def test_stripes_are_taken_off(tmp_path, wide, write):
    counted, exact = wide
    gain = 1 + 0.03 * np.random.default_rng(6).standard_normal(WIDE)
    data = (counted.data * gain).round().clip(0, 65535).astype(np.uint16)
    path = write(tmp_path / "scan.h5", replace(counted, data=data))
    without = read_problem(path).data
    found = read_problem(path, Asked(corrections=Corrections(rings=True))).data
    striped = [np.abs((one.y(range(90)) - exact[0]).mean(0)).mean() for one in (without, found)]
    assert striped[1] < 0.65 * striped[0]
    assert "taken off (--rings)" in found.notes[-1]
    np.testing.assert_array_equal(found.y(range(20, 41)), found.y(range(90))[20:41])


def test_noise_has_hardly_a_stripe(wide):
    y = wide[1][0] + 0.02 * np.random.default_rng(1).standard_normal(wide[1][0].shape)
    assert np.abs(stripes(y.astype(np.float32))).mean() < 0.003


def test_the_flags_of_check(tmp_path, counted, capsys):
    path = write_data_exchange(tmp_path / "scan.h5", dimmed(counted, 0.9))
    flags = ["--air", "auto", "--rings", "auto", "--zingers", "none", "--views", "0:20,22:60"]
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(path), *flags])
    said = capsys.readouterr().out
    assert "58 views of 64 bins" in said and "of the white field, and taken for 1 (--air)" in said
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(path), "--views", "20:10"])
    assert "expected A:B or A:B,C:D with 0 <= A < B" in capsys.readouterr().err


def test_views_are_recorded_so_that_they_can_be_read_again():
    values = {"problem": "a.h5", "output": "b.h5", "views": "0:4,6:9"}
    config = RunConfig.from_values(**values)
    assert config.data.views == ((0, 4), (6, 9))
    again = RunConfig.from_values(**{**values, "views": [list(p) for p in config.data.views]})
    assert again.data.views == config.data.views
    with pytest.raises(ValueError, match="views is '5', expected A:B"):
        RunConfig.from_values(**{**values, "views": "5"})


def test_the_same_from_compressed_frames(tmp_path, counted):
    path = write_data_exchange(tmp_path / "scan.h5", counted)
    packed = tmp_path / "packed.h5"
    with h5py.File(path) as file, h5py.File(packed, "w") as other:
        for name, data in file["exchange"].items():
            chunks = (1, *data.shape[1:]) if data.ndim == 3 else None
            other.create_dataset(
                f"exchange/{name}", data=data, chunks=chunks, compression="gzip" if chunks else None
            )
    found, expected = (read_problem(one).data for one in (packed, path))
    np.testing.assert_array_equal(found.y(range(9, 30)), expected.y(range(9, 30)))
