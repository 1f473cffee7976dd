"""Files appear whole or not at all."""

import numpy as np
import pytest

import h5py

from asyncred.files.whole import InPlace, check_writable, open_hdf5, reserve, written_whole


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    return path


def test_written_whole(old):
    with written_whole(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old" and temporary.parent == old.parent
    assert old.read_text() == "new"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_interrupted_writing_leaves_the_old_file(old, error):
    with pytest.raises(error), written_whole(old) as temporary:
        temporary.write_text("ne")
        raise error
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


def test_interrupted_writing_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError), written_whole(tmp_path / "file") as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_writable(old):
    check_writable(old.with_name("new"), overwrite=False)
    check_writable(old, overwrite=True)
    assert list(old.parent.iterdir()) == [old] and old.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "overwrite", "words"),
    [
        ("file", False, "file: exists; --overwrite replaces it"),
        (".", True, "is a folder, expected a file name"),
        ("no/new", False, "no/new: cannot be written: No such file or directory"),
        ("file/new", False, "file/new: cannot be written: Not a directory"),
    ],
)
def test_not_writable(old, name, overwrite, words):
    with pytest.raises(ValueError, match=words):
        check_writable(old.parent / name, overwrite=overwrite)


@pytest.mark.parametrize(
    ("name", "words"),
    [("no", "no: no such file"), ("file", "file: not an HDF5 file"), (".", "not an HDF5 file")],
)
def test_no_hdf5(old, name, words):
    with pytest.raises(ValueError, match=words):
        open_hdf5(old.parent / name)


def test_in_place_writing_stays_in_its_row(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        reserve(file, "a", (3, 4), np.float64, np.nan)
        reserve(file, "b", (3,), np.int64, 7)
    with InPlace(path, ["a", "b", "none"]) as file:
        assert "a" in file and "none" not in file
        file.put("a", (1,), np.arange(4))
        file.put("a", (2, 2), np.array([5.0, 6.0]))
        file.put("b", (2,), np.array(8))
        file.put("a", (0,), np.ones((1, 4)))
        for where, shape in (((1,), (5,)), ((2, 2), (3,)), ((2,), (2, 4)), ((0,), (2, 3))):
            with pytest.raises(ValueError, match=r"/a: values .* at .*, room for"):
                file.put("a", where, np.zeros(shape))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["b"], [7, 7, 8])
        np.testing.assert_array_equal(file["a"][1], np.arange(4))
        np.testing.assert_array_equal(file["a"][2], [np.nan, np.nan, 5, 6])
