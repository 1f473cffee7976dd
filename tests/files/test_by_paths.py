"""HDF5 files of any layout, read by the names of their datasets; what a file looks like is said."""

import re

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.files.problem import Asked, Places, read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED
from launch import mpirun
from scans import HALF_TURN, SLICES, VIEWS, scan, write_data_exchange, write_nxtomo


@pytest.fixture(scope="module")
def counted():
    return scan(offset=3.4)


@pytest.fixture
def path(tmp_path, counted):
    """Frames of each kind in a dataset of their own, dark ones averaged, angles in radians."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["scan/images"] = counted.data
        file["scan/flats"] = counted.white
        file["scan/dark_mean"] = counted.dark.mean(axis=0)
        file["scan/omega"] = np.radians(counted.angles)
        file["scan/omega"].attrs["units"] = "radian"
        file["scan/temperature"] = np.zeros(VIEWS)
        file["scan/masks"] = np.zeros((2, 3, 4, 5))
    return path


PLACES = Places("/scan/images", "scan/omega", None, "/scan/flats", "/scan/dark_mean")
FLAGS = ["--dark", "/scan/dark_mean"]


def places(**changes):
    return Places(**{**vars(PLACES), **changes})


def same(found, expected):
    for k in range(SLICES):
        np.testing.assert_allclose(found.of(k).y(range(VIEWS)), expected.of(k).y(range(VIEWS)))
    np.testing.assert_allclose(found.angles, expected.angles)
    assert found.center == expected.center


def test_the_same_as_in_data_exchange(tmp_path, path, counted):
    problem = read_problem(path, Asked(places=PLACES))
    assert problem.kind == "hdf5" and problem.images == range(SLICES)
    same(problem.data, read_problem(write_data_exchange(tmp_path / "other.h5", counted)).data)


@pytest.fixture
def keyed(tmp_path, counted):
    """As Diamond writes it: an NXtomo entry without a definition, frames of all kinds together."""
    path = write_nxtomo(tmp_path / "scan.nxs", counted, entry="entry1", subentry="tomo_entry")
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "frames.h5", "w") as frames:
        entry = file["entry1/tomo_entry"]
        del entry["definition"]
        file.copy(entry["instrument/detector/data"], frames, "data")
        del entry["instrument/detector/data"], entry["data"]
        entry["instrument/detector/data"] = h5py.ExternalLink("frames.h5", "/data")
        entry["instrument/detector/image_key_control"] = entry["instrument/detector/image_key"][:]
        file["entry1/flyScanDetector"] = h5py.SoftLink("/entry1/tomo_entry/instrument/detector")
    return path


PLACE = "/entry1/tomo_entry"
KEYED = Places(
    f"{PLACE}/instrument/detector/data",
    f"{PLACE}/sample/rotation_angle",
    f"{PLACE}/instrument/detector/image_key",
)


@pytest.mark.parametrize("angles", ["of all frames", "of projections", "text", "npy", "range"])
def test_image_keys(tmp_path, keyed, counted, angles):
    expected = read_problem(write_data_exchange(tmp_path / "other.h5", counted)).data
    told = KEYED.angles
    if angles == "of projections":
        told = "/angles"
        with h5py.File(keyed, "r+") as file:
            file[told] = HALF_TURN
    elif angles == "text":
        told = str(tmp_path / "angles.txt")
        np.savetxt(told, HALF_TURN)
    elif angles == "npy":
        told = str(tmp_path / "angles.npy")
        np.save(told, HALF_TURN.astype(np.float32))
    elif angles == "range":
        told = f"{HALF_TURN[0]}:{HALF_TURN[-1]}"
    found = read_problem(keyed, Asked(places=Places(KEYED.data, told, KEYED.image_key))).data
    same(found, expected)
    if angles == "range":
        assert "both included" in found.notes[1] and f"{VIEWS} views" in found.notes[1]


def test_without_fields_data_are_transmissions(path, counted):
    dark = counted.dark.mean(axis=0)
    with h5py.File(path, "r+") as file:
        file["scan/corrected"] = (counted.data - dark) / (counted.white.mean(axis=0) - dark)
    found = read_problem(path, Asked(places=Places("scan/corrected", "scan/omega"))).data
    expected = read_problem(path, Asked(places=PLACES)).data
    assert "no white field: /scan/corrected taken to be transmissions" in found.notes
    np.testing.assert_allclose(found.y(range(VIEWS)), expected.y(range(VIEWS)), atol=1e-5)


def test_size(path):
    assert read_problem(path, Asked(places=PLACES, size=70)).grid.shape == (70, 70)


WRONG = {
    "no such data": (places(data="/scan/image"), "--data is /scan/image, which is no dataset of"),
    "no such angles": (places(angles="/theta"), "--angles is /theta, expected a dataset of it, a"),
    "no such field": (places(white="flats"), "--white is flats, which is no dataset of it"),
    "no data": (
        places(data=None),
        "--angles and --white and --dark given, expected --data and --angles with it; its datasets",
    ),
    "a group": (places(data="/scan"), "/scan is a group, expected a dataset"),
    "data of one axis": (
        places(data="/scan/omega"),
        f"/scan/omega is float64 [{VIEWS}], expected numbers [frames, rows, columns]",
    ),
    "other fields": (
        places(dark="/scan/masks"),
        "/scan/masks is float64 [2, 3, 4, 5], expected numbers [k, 3, 64] or [3, 64] (rows and",
    ),
    "keys that are none": (
        places(image_key="/scan/omega"),
        f"/scan/omega is float64 [{VIEWS}], expected integers [{VIEWS}], one for each frame",
    ),
    "angles that are pictures": (
        places(angles="/scan/flats"),
        "/scan/flats is uint16 [12, 3, 64], expected angles, numbers [frames]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name, path):
    told, message = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        read_problem(path, Asked(places=told))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n60\n120\n", f"has 3 angles, expected {VIEWS}, one for each frame"),
        ("\n".join(map(str, np.radians(HALF_TURN))), "spans 3.0"),
        ("0 degrees\n", "expected a number a line, in degrees"),
        ("nan\n" * VIEWS, "is NaN or Inf in frames"),
    ],
)
def test_files_of_angles(tmp_path, path, text, message):
    angles = tmp_path / "angles.txt"
    angles.write_text(text)
    with pytest.raises(ValueError, match=f"{angles}.*{message}") as error:
        read_problem(path, Asked(places=places(angles=str(angles))))
    assert "\n" not in str(error.value)


def test_a_problem_file_says_itself_where_its_data_are(tmp_path):
    path = tmp_path / "problem.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "asyncred-problem"
    with pytest.raises(ValueError, match="--data and --angles given, but the file is a problem"):
        read_problem(path, Asked(places=Places("a", "b")))


@pytest.mark.parametrize("which", ["path", "keyed"])
def test_what_it_looks_like(which, request, capsys):
    """The flags that the message says read the file."""
    path = request.getfixturevalue(which)
    with pytest.raises(ValueError, match="is read with --data") as error:
        read_problem(path)
    assert "\n" not in str(error.value)
    flags = str(error.value).split("is read with ")[1].split()
    with pytest.raises(SystemExit) as end:
        main(["check", str(path), *flags])
    assert end.value.code == 0, capsys.readouterr().err
    assert f"{VIEWS} views of 64 bins" in capsys.readouterr().out


def test_what_is_no_scan(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["a/table"], file["a/b/self"] = np.zeros((4, 5)), h5py.SoftLink("/a")
        file["frames"] = h5py.ExternalLink("detector.h5", "/entry/data")
    message = (
        "it has no dataset of numbers with three axes, such as frames; a broken link: /frames "
        f"links to /entry/data of the file detector.h5, which is missing: expected it in {tmp_path}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read_problem(path)


@pytest.mark.ranks
def test_run(path, counted, tmp_path):
    config, output = tmp_path / "run.toml", tmp_path / "result.h5"
    config.write_text('data = "/scan/images"\nangles = "/scan/omega"\nwhite = "/scan/flats"\n')
    flags = [*FLAGS, "--denoiser", "tv", "--sigma", "5", "--epochs", "40", "--block", "32"]
    command = [*ASYNCRED, "run", path, "-o", output, "--config", config, *flags, "--threads", "1"]
    done = mpirun(2, *command, timeout=120)
    assert done.returncode == 0, done.stderr
    for k in range(SLICES):
        found = read_result(output, k)
        assert found.provenance["parameters"]["dark"] == "/scan/dark_mean"
        assert found.completed.all() and snr(counted.truth[k], found.image) > 19
