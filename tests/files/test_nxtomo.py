"""NXtomo files as they are: frames told apart by their keys; what is wrong is named."""

import re

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED
from launch import mpirun
from scans import (
    HALF_TURN,
    SIDE,
    SLICES,
    VIEWS,
    Scan,
    scan,
    write_data_exchange,
    write_nxtomo,
)

CENTER = (SIDE - 1) / 2 - 7.3


@pytest.fixture(scope="module")
def counted():
    return scan(offset=-7.3)


@pytest.fixture
def path(tmp_path, counted):
    return write_nxtomo(tmp_path / "scan.nxs", counted)


@pytest.mark.parametrize("subentry", [None, "tomo_entry"])
def test_the_same_as_in_data_exchange(tmp_path, counted, subentry):
    other = read_problem(write_data_exchange(tmp_path / "scan.h5", counted)).data
    path = write_nxtomo(tmp_path / "scan.nxs", counted, entry="entry1", subentry=subentry)
    problem = read_problem(path)
    assert problem.kind == "nxtomo" and problem.images == range(SLICES)
    data = problem.data
    assert data.center == other.center and data.notes == other.notes
    np.testing.assert_allclose(data.angles, np.radians(HALF_TURN))
    for k in problem.images:
        for views in (range(VIEWS), range(3, 9), range(15, 40)):  # the last over a spoiled frame
            np.testing.assert_array_equal(data.of(k).y(views), other.of(k).y(views))


def test_groups_are_found_by_their_class(tmp_path, counted):
    path = write_nxtomo(tmp_path / "scan.nxs", counted)
    with h5py.File(path, "r+") as file:
        entry = file["scan_7"]
        entry["sample"].attrs["NX_class"] = np.bytes_("NXsample")
        entry.move("sample", "specimen")
        entry["instrument"].create_group("attenuator")
        entry.move("instrument/detector", "instrument/camera_2")
        entry.move("instrument", "beamline")
        file["dangling"] = h5py.SoftLink("/nowhere")
    assert read_problem(path).data.groups == VIEWS


def change(path, function):
    with h5py.File(path, "r+") as file:
        function(file["scan_7"])
    return path


def put(name, values, **attributes):
    def function(entry):
        del entry[name]
        entry[name] = values
        entry[name].attrs.update(attributes)

    return function


def keys(old, new):
    """Frames of one key are given another."""

    def function(entry):
        found = entry["instrument/detector/image_key"]
        found[:] = np.where(found[:] == old, new, found[:])

    return function


def test_no_dark_field(path):
    data = read_problem(change(path, keys(2, 3))).data
    assert data.notes[1] == "no dark field: taken to be 0"


def test_radians(path):
    angles = np.zeros(VIEWS + 12 + 12 + 1)
    with h5py.File(path) as file:
        angles[file["scan_7/instrument/detector/image_key"][:] == 0] = np.radians(HALF_TURN)
    change(path, put("sample/rotation_angle", angles, units="rad"))
    np.testing.assert_allclose(read_problem(path).data.angles, np.radians(HALF_TURN))


def another(entry):
    entry.file.copy(entry, "scan_8")


FRAMES = VIEWS + 25
WRONG = {
    "no data": (
        lambda entry: entry.pop("instrument/detector/data"),
        "/scan_7/instrument/detector/data is missing, expected a dataset",
    ),
    "no keys": (
        lambda entry: entry.pop("instrument/detector/image_key"),
        "/scan_7/instrument/detector/image_key is missing, expected a dataset",
    ),
    "no detector": (
        lambda entry: entry.pop("instrument"),
        "/scan_7/instrument/detector/data is missing, expected a dataset",
    ),
    "no angles": (
        lambda entry: entry.pop("sample/rotation_angle"),
        "/scan_7/sample/rotation_angle is missing, expected a dataset",
    ),
    "few keys": (
        put("instrument/detector/image_key", np.zeros(9, int)),
        f"/scan_7/instrument/detector/image_key is int64 [9], expected integers [{FRAMES}], one",
    ),
    "keys that are no integers": (
        put("instrument/detector/image_key", np.zeros(FRAMES)),
        f"/scan_7/instrument/detector/image_key is float64 [{FRAMES}], expected integers",
    ),
    "no projections": (
        keys(0, 3),
        "/scan_7/instrument/detector/image_key has no 0, expected projections",
    ),
    "no flats": (
        keys(1, 3),
        "no white field, and row 0 of /scan_7/instrument/detector/data is up to",
    ),
    "few angles": (
        put("sample/rotation_angle", HALF_TURN, units="deg"),
        f"/scan_7/sample/rotation_angle is float64 [{VIEWS}], expected numbers [{FRAMES}], one",
    ),
    "two entries": (another, "scan_7 and scan_8 are NXtomo, expected one of them"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name, path):
    function, message = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        read_problem(change(path, function))
    assert "\n" not in str(error.value)


def test_another_definition(path):
    with pytest.raises(ValueError, match="or a file of the format nxtomo or data_exchange"):
        read_problem(change(path, put("definition", "NXtomoproc")))


@pytest.mark.ranks
@pytest.mark.parametrize("turn", ["half", "whole"])
def test_run(tmp_path, counted, turn):
    measured: Scan = counted
    if turn == "whole":
        measured = scan(offset=-7.3, angles=np.arange(VIEWS) * 360 / VIEWS)
    path, output = write_nxtomo(tmp_path / "scan.nxs", measured), tmp_path / "result.h5"
    flags = ["--denoiser", "tv", "--sigma", "5", "--epochs", "40", "--block", "32"]
    command = [*ASYNCRED, "run", path, "-o", output, *flags, "--threads", "1"]
    done = mpirun(2, *command, timeout=120)
    assert done.returncode == 0, done.stderr
    for k in range(SLICES):
        found = read_result(output, k)
        assert found.completed.all() and found.provenance["kind"] == "nxtomo"
        assert snr(measured.truth[k], found.start) > 12
        assert snr(measured.truth[k], found.image) > 19


@pytest.mark.ranks
def test_what_is_wrong_is_one_line_from_one_rank(path):
    change(path, lambda entry: entry.pop("sample/rotation_angle"))
    done = mpirun(2, *ASYNCRED, "run", path, "-o", path.with_name("none.h5"), timeout=60)
    assert done.returncode == 2 and done.stderr.count("asyncred: ") == 1
    assert "/scan_7/sample/rotation_angle is missing, expected a dataset" in done.stderr
