"""Files appear whole or not at all."""

import pytest

from asyncred.files import check_writable, open_hdf5, written_whole


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
