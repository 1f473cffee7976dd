"""Files that a file takes values from: part of the input, and none from elsewhere unasked."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem.sources import sources_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("in/beside.h5", "secret.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = np.ones((2, 3))
    return tmp_path / "in"


def virtual(path, name, source, key):
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource(source, key, (2, 3))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(name, layout)


def link(path, name, source, key):
    with h5py.File(path, "a") as file:
        file[name] = h5py.ExternalLink(source, key)


def raw(path, name, source, key):
    with h5py.File(path, "a") as file:
        file.create_dataset(name, (2, 3), "f8", external=[(str(source), 0, 48)])


@pytest.mark.parametrize("refer", [virtual, link, raw])
def test_outside_the_folder_only_where_that_is_asked_for(refer, folder):
    path, secret = folder / "p.h5", folder.parent / "secret.h5"
    refer(path, "g/x", secret, "x")
    with pytest.raises(ValueError, match=r"p.h5: /g/x takes its values from .*--follow-links"):
        sources_of(path, follow=False)
    assert sources_of(path, follow=True) == [secret]


@pytest.mark.parametrize("refer", [virtual, link])
def test_beside_it_and_through_others(refer, folder):
    path = folder / "p.h5"
    refer(path, "x", "beside.h5", "x")
    assert sources_of(path, follow=False) == [folder / "beside.h5"]
    link(folder / "beside.h5", "y", "../secret.h5", "x")
    with pytest.raises(ValueError, match=r"/y takes its values from ../secret.h5, outside"):
        sources_of(path, follow=False)


def test_circles(folder):
    """HDF5 crashes over them."""
    path = folder / "p.h5"
    virtual(path, "x", ".", "x")
    with pytest.raises(ValueError, match="takes its values from itself"):
        sources_of(path, follow=True)
    virtual(folder / "a.h5", "x", "b.h5", "x")
    virtual(folder / "b.h5", "x", "a.h5", "x")
    with pytest.raises(ValueError, match=r"a.h5: a virtual dataset .* from itself"):
        sources_of(folder / "a.h5", follow=False)
