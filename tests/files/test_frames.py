"""Frames without a measurement are left out, others as the user asks; one bad slice stops none."""

from dataclasses import replace

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.errors import BadImage
from asyncred.files.problem import Asked, Corrections, read_problem
from asyncred.files.problem.frames import named
from asyncred.files.problem.gaps import filled
from asyncred.files.problem.saturation import top_of
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED
from launch import mpirun
from scans import (
    HALF_TURN,
    SIDE,
    SLICES,
    VIEWS,
    object_slices,
    projected,
    scan,
    write_data_exchange,
    write_nxtomo,
)

CENTER = (SIDE - 1) / 2 + 4.6
WRITERS = {"data exchange": write_data_exchange, "nxtomo": write_nxtomo}


@pytest.fixture(scope="module")
def counted():
    return scan(offset=4.6)


def exact(truth, angles=HALF_TURN):
    return projected(truth, angles, CENTER)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("flaw", ["dark", "never written", "the same everywhere", "NaN"])
def test_views_without_light_are_left_out(tmp_path, counted, write, flaw):
    gone = np.r_[7, 21:28, 55:60]
    data = counted.data.astype(np.float32) if flaw == "NaN" else counted.data.copy()
    rng = np.random.default_rng(3)
    values = {
        "dark": rng.poisson(110, (gone.size, SLICES, SIDE)),
        "never written": 0,
        "the same everywhere": 3000,
        "NaN": np.nan,
    }
    data[gone] = values[flaw]
    found = read_problem(write(tmp_path / "scan.h5", replace(counted, data=data))).data
    kept = np.setdiff1d(np.arange(VIEWS), gone)
    assert found.notes[1] == (
        "13 of 60 views left out, without light or never written: 7, 21 to 27, 55 to 59"
    )
    np.testing.assert_allclose(found.angles, np.radians(HALF_TURN)[kept])
    assert found.groups == kept.size and abs(found.center - CENTER) < 0.3
    y = found.of(1).y(range(found.groups))
    assert np.abs(y - exact(counted.truth)[1, kept]).mean() < 0.05
    np.testing.assert_array_equal(found.of(1).y(range(5, 30)), y[5:30])


def test_too_many_views_without_light_are_said_where_the_axis_is_not_found(tmp_path, counted):
    data = counted.data.copy()
    data[25:] = 0
    path = write_data_exchange(tmp_path / "scan.h5", replace(counted, data=data))
    with pytest.raises(ValueError, match="axis was not found: 25 views over 72 degrees") as error:
        read_problem(path)
    assert str(error.value).endswith(
        "; 35 of 60 views left out, without light or never written: 25 to 59"
    )


def test_dim_views_are_kept(tmp_path, counted):
    dim = counted.data.copy()
    dim[10:14] = counted.dark[0] + (dim[10:14].astype(float) - counted.dark[0]).clip(0) * 0.05
    found = read_problem(write_data_exchange(tmp_path / "scan.h5", replace(counted, data=dim))).data
    assert found.groups == VIEWS


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_fields_that_are_none_are_left_out(tmp_path, counted, write):
    white, dark = counted.white.copy(), counted.dark.copy()
    white[[2, 9]], dark[4] = counted.dark[:2], counted.white[4]
    white[5, 1, 30] = 65000  # a zinger
    path = write(tmp_path / "scan.h5", replace(counted, white=white, dark=dark))
    found = read_problem(path).data
    assert "2 of 12 white fields left out, far from the others: 2, 9" in found.notes
    assert "1 of 12 dark fields left out, with light: 4" in found.notes
    assert np.abs(found.of(1).y(range(VIEWS)) - exact(counted.truth)[1]).mean(axis=0).max() < 0.12


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_the_views_that_are_asked_for(tmp_path, counted, write):
    path = write(tmp_path / "scan.h5", counted)
    whole = read_problem(path).data
    found = read_problem(path, Asked(views=((0, 20), (25, 60)))).data
    kept = np.r_[0:20, 25:60]
    np.testing.assert_allclose(found.angles, whole.angles[kept])
    np.testing.assert_allclose(
        found.y(range(55)), whole.y(range(VIEWS))[kept], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="--views is 0:20,50:61, expected parts of 0:60"):
        read_problem(path, Asked(views=((0, 20), (50, 61))))


def test_angles_matter_in_projections_only(tmp_path, counted):
    path = write_nxtomo(tmp_path / "scan.nxs", counted)
    with h5py.File(path, "r+") as file:
        keys = file["scan_7/instrument/detector/image_key"][:]
        angles = file["scan_7/sample/rotation_angle"]
        angles[:] = np.where(keys == 0, angles[:], np.nan)
    found = read_problem(path).data
    np.testing.assert_allclose(found.angles, np.radians(HALF_TURN))
    with h5py.File(path, "r+") as file:
        file["scan_7/sample/rotation_angle"][np.flatnonzero(keys == 0)[41]] = np.nan
    with pytest.raises(ValueError, match="is NaN or Inf in frames 60, expected finite") as error:
        read_problem(path)
    assert str(error.value).endswith("--views A:B leaves others out")
    assert read_problem(path, Asked(views=((0, 41), (42, 60)))).data.groups == 59


def test_flags_of_counts_are_for_counts(tmp_path):
    path = tmp_path / "problem.h5"
    with pytest.raises(SystemExit, match="0"):
        main(["simulate", "ct", str(path), "--size", "128"])
    for asked, flag in (
        (Asked(views=((0, 5),)), "--views"),
        (Asked(corrections=Corrections(rings=True)), "--rings auto"),
        (Asked(corrections=Corrections(air=True)), "--air auto"),
    ):
        with pytest.raises(ValueError, match=f"{flag} is for counts of tomography, NXtomo or"):
            read_problem(path, asked)


def test_runs_of_numbers_are_named():
    assert named(np.array([4])) == "4"
    assert named(np.r_[0:3, 9, 11:40]) == "0 to 2, 9, 11 to 39"
    assert named(np.arange(0, 30, 2)) == "0, 2, 4, 6, 8, 10, ..."


@pytest.mark.parametrize("top", [4095, 65535, 5000])
def test_counts_pile_up_where_the_detector_is_saturated(top):
    counts = np.random.default_rng(0).poisson(top, (20, 400)).astype(np.float32)
    assert top_of([np.minimum(counts, top)], 65535) == top
    assert top_of([counts - top // 5], 65535) == np.inf
    assert top_of([np.full((20, 400), 3000, np.float32)], 65535) == np.inf


def test_single_saturated_pixels_are_bridged_and_many_are_a_doubt(tmp_path, counted):
    data, white = counted.data.copy(), counted.white.copy()
    data[np.arange(5, 45), 1, np.arange(5, 45)] = 65535
    path = write_data_exchange(tmp_path / "scan.h5", replace(counted, data=data))
    found = read_problem(path, Asked(corrections=Corrections(zingers=False))).data
    assert found.notes[1] == "slices 0, 1, 2: saturated pixels (bridged from their neighbours): 40"
    assert np.abs(found.of(1).y(range(VIEWS)) - exact(counted.truth)[1]).max() < 0.8
    top = int(np.quantile(white, 0.6))
    clipped = replace(counted, data=np.minimum(counted.data, top), white=np.minimum(white, top))
    found = read_problem(write_data_exchange(tmp_path / "other.h5", clipped)).data
    doubts = [line for line in found.doubts(None) if "saturated" in line]
    assert len(doubts) == 1 and f"the detector is saturated, at {top}, in 4" in doubts[0]


@pytest.mark.parametrize("angles", [HALF_TURN, HALF_TURN - 45, np.arange(VIEWS) * 6.0])
def test_missing_views_are_interpolated_for_the_start(angles):
    y = exact(object_slices(slices=1), angles)[0]
    gone = np.r_[0:4, 20:28, 55:60]
    if np.ptp(angles) > 180:  # each direction is seen twice
        gone = np.r_[0:3, 27:33, 57:60, 12:16, 42:46]
    kept = np.setdiff1d(np.arange(VIEWS), gone)
    found = filled(np.radians(angles[kept]), CENTER, lambda view: y[kept][view])
    assert found is not None
    expected = exact(object_slices(slices=1), np.degrees(found.angles))[0]
    assert np.abs(found.y - expected).mean() < 0.06 and np.abs(found.weights).sum() < np.pi / 2
    assert filled(np.radians(angles), CENTER, lambda view: y[view]) is None


def with_an_empty_row(counted, row):
    parts = {}
    for name in ("data", "white", "dark"):
        parts[name] = getattr(counted, name).copy()
        parts[name][:, row] = 0
    return replace(counted, **parts)


@pytest.mark.parametrize("row", [0, 1])
def test_check_says_which_image_will_be_left_out(tmp_path, counted, row, capsys):
    path = write_data_exchange(tmp_path / "scan.h5", with_an_empty_row(counted, row))
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(path), "-n", "2"])
    assert f"!! image {row} will be left out: {path}: /exchange/data: row {row} sees no light" in (
        capsys.readouterr().out
    )


def test_an_image_alone_has_to_be_there(tmp_path, counted):
    path = write_data_exchange(tmp_path / "scan.h5", with_an_empty_row(counted, 1))
    with pytest.raises(BadImage, match="row 1 sees no light"):
        read_problem(path, Asked(images=(1, 2)))


@pytest.mark.ranks
@pytest.mark.parametrize(("ranks", "row"), [(1, 0), (2, 0), (2, 1)])
def test_the_other_images_of_a_stack_are_done(tmp_path, counted, ranks, row, capsys):
    path = write_data_exchange(tmp_path / "scan.h5", with_an_empty_row(counted, row))
    output = tmp_path / "result.h5"
    flags = ["--denoiser", "tv", "--sigma", "5", "--epochs", "30", "--block", "32"]
    command = [*ASYNCRED, "run", path, "-o", output, *flags, "--threads", "1"]
    done = mpirun(ranks, *command, "--ranks-per-image", ranks, timeout=120)
    assert done.returncode == 0, done.stderr
    place = f"{path}: /exchange/data: row {row} sees no light"
    assert f"!! image {row} ({row + 1} of 3) left out, not complete: {place}" in done.stdout
    assert f"!! 1 of 3 images not complete: {row}\n" in done.stdout
    with h5py.File(output) as file:
        assert file["entry/complete"][:].tolist() == [int(k != row) for k in range(SLICES)]
        assert place.encode()[:240] in file["entry/reconstruction/left_out"][row]
        assert file["entry/reconstruction/stopped"][row] == b"no measurements"
    assert all(
        snr(counted.truth[k], read_result(output, k).image) > 18 for k in range(3) if k != row
    )
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(output), "--image", str(row)])
    assert f"row {row} was left out: " in capsys.readouterr().err
