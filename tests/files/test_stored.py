"""Values that are not there are refused by name: HDF5 would give its fill value for them."""

import itertools
import re
import sys

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.files.filters import _plugins
from asyncred.files.problem import Asked, read_problem, write_mask
from asyncred.files.problem.fields import node
from asyncred.files.whole import open_hdf5
from scans import scan, write_data_exchange

DATA = "exchange/data"
FRAMES = 40


@pytest.fixture(scope="module")
def counted():
    return scan(angles=np.arange(FRAMES) * 180 / FRAMES)


@pytest.fixture
def path(tmp_path, counted):
    return write_data_exchange(tmp_path / "scan.h5", counted)


def split(path, edges, shape=None):
    """Puts /exchange/data into files of its own, some frames each; the name of each."""
    with h5py.File(path, "r+") as file:
        data = file[DATA][:]
        layout = h5py.VirtualLayout(shape or data.shape, data.dtype)
        for k, (first, end) in enumerate(itertools.pairwise(edges)):
            name = f"part_{k}.h5"
            with h5py.File(path.with_name(name), "w") as part:
                part["frames"] = data[first:end]
            layout[first:end] = h5py.VirtualSource(name, "frames", data[first:end].shape)
        del file[DATA]
        file.create_virtual_dataset(DATA, layout)


def a_source_is_gone(path):
    split(path, (0, 13, 26, FRAMES))
    path.with_name("part_1.h5").unlink()
    return (
        "/exchange/data is virtual, and its source part_1.h5, for frames 13 to 25, is missing: "
        f"expected its 3 source files in {path.parent}"
    )


def a_source_is_short(path):
    split(path, (0, 20, FRAMES))
    with h5py.File(path.with_name("part_1.h5"), "r+") as part:
        frames = part["frames"][:-3]
        del part["frames"]
        part["frames"] = frames
    return "its source part_1.h5, for frames 20 to 39, has [17, 3, 64] in frames, expected 3840"


def a_source_has_another_name(path):
    split(path, (0, FRAMES))
    with h5py.File(path.with_name("part_0.h5"), "r+") as part:
        part.move("frames", "images")
    return "its source part_0.h5, for frames 0 to 39, has no dataset frames"


def a_source_is_no_hdf5(path):
    split(path, (0, 4, FRAMES))
    path.with_name("part_0.h5").write_text("moved to tape")
    return "its source part_0.h5, for frames 0 to 3, cannot be opened: "


def a_source_was_never_written(path):
    split(path, (0, 30, FRAMES))
    with h5py.File(path.with_name("part_1.h5"), "w") as part:
        part.create_dataset("frames", (10, 3, 64), "u2", chunks=(1, 3, 64))[:6] = 7
    return (
        "its source part_1.h5, for frames 30 to 39: /frames: 4 of 10 chunks were never written, "
        "of frames 6 to 9;"
    )


def frames_without_source(path):
    split(path, (0, 20, 35), shape=(FRAMES, 3, 64))
    return "/exchange/data is virtual, and frames 35 to 39 have no source: expected sources for"


def an_external_link(path):
    with h5py.File(path, "r+") as file:
        del file[DATA]
        file[DATA] = h5py.ExternalLink("raw/scan_7.h5", "/entry/frames")
    return (
        "/exchange/data links to /entry/frames of the file raw/scan_7.h5, which is missing: "
        f"expected it in {path.parent}"
    )


def an_external_link_into_a_file(path):
    with h5py.File(path, "r+") as file, h5py.File(path.with_name("raw.h5"), "w") as raw:
        del file[DATA]
        file[DATA] = h5py.ExternalLink("raw.h5", "/entry/frames")
        raw["entry/frames"] = h5py.SoftLink("/somewhere")
    return (
        "/exchange/data links to /entry/frames of the file raw.h5: there /entry/frames links to "
        "/somewhere, which is missing"
    )


def a_soft_link(path):
    with h5py.File(path, "r+") as file:
        del file["exchange/theta"]
        file["exchange/theta"] = h5py.SoftLink("../motors/rotation")
    return "/exchange/theta links to ../motors/rotation, which is missing: expected a dataset"


def a_link_of_what_may_be_missing(path):
    with h5py.File(path, "r+") as file:
        del file["exchange/data_dark"]
        file["exchange/data_dark"] = h5py.ExternalLink("darks.h5", "/data")
    return "/exchange/data_dark links to /data of the file darks.h5, which is missing: expected"


def raw_data(path):
    with h5py.File(path, "r+") as file:
        white, raw = file["exchange/data_white"][:], path.with_name("white.raw")
        del file["exchange/data_white"]
        pieces = [(str(raw), 0, white.nbytes)]
        file.create_dataset("exchange/data_white", white.shape, white.dtype, external=pieces)[:] = (
            white
        )
    return raw, white.nbytes


def raw_data_are_gone(path):
    raw, size = raw_data(path)
    raw.unlink()
    return (
        f"/exchange/data_white: its raw data are in the file {raw}, which is missing: expected "
        f"{size} bytes there"
    )


def raw_data_are_short(path):
    raw, _ = raw_data(path)
    raw.write_bytes(raw.read_bytes()[:1000])
    return f"/exchange/data_white: its raw data are in the file {raw}, which has 1000 bytes for it"


def an_aborted_writer(path):
    with h5py.File(path, "r+") as file:
        frames = file[DATA][:]
        del file[DATA]
        file.create_dataset(DATA, frames.shape, frames.dtype, chunks=(4, 2, 64))
        file[DATA][:21] = frames[:21]
        file[DATA][30:33] = frames[30:33]
    return (
        "/exchange/data: 4 of 20 chunks were never written, of frames 24 to 27, 36 to 39; HDF5 "
        "would give 0 for them: expected all"
    )


def nothing_written(path):
    with h5py.File(path, "r+") as file:
        del file["exchange/theta"]
        file.create_dataset("exchange/theta", (FRAMES,), "f8").attrs["units"] = "deg"
    return "/exchange/theta was never written, expected values"


FAULTS = (
    a_source_is_gone,
    a_source_is_short,
    a_source_has_another_name,
    a_source_is_no_hdf5,
    a_source_was_never_written,
    frames_without_source,
    an_external_link,
    an_external_link_into_a_file,
    a_soft_link,
    a_link_of_what_may_be_missing,
    raw_data_are_gone,
    raw_data_are_short,
    an_aborted_writer,
    nothing_written,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_missing_is_named(fault, path):
    message = fault(path)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_problem(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["y", "mask"])
def test_a_problem_file_of_ones_own(tmp_path, name):
    path, picture = tmp_path / "problem.h5", np.ones((20, 24), np.float32)
    write_mask(path, picture, picture, block=(10, 12), mask=picture > 0)
    key = {"y": "measurements/y", "mask": "operator/mask"}[name]
    with h5py.File(path, "r+") as file:
        old = file[key]
        shape, dtype = old.shape, old.dtype
        del file[key]
        file.create_dataset(key, shape, dtype, chunks=(8, 8))[:8] = 1
    with pytest.raises(ValueError, match=rf"/{key}: \d+ of \d+ chunks were never written, of entr"):
        read_problem(path)


def test_what_is_there_in_other_files_is_read(path, counted, tmp_path):
    expected = read_problem(path, Asked(center=40.0)).data.y(range(FRAMES)).copy()
    split(path, (0, 7, 20, FRAMES))
    raw_data(path)
    outer = tmp_path / "outer"
    outer.mkdir()
    linked = outer / "scan.h5"
    with h5py.File(linked, "w") as file:
        file["exchange"] = h5py.ExternalLink("../scan.h5", "/exchange")
    for one in (path, linked):
        found = read_problem(one, Asked(center=40.0, follow_links=True)).data
        np.testing.assert_array_equal(found.y(range(FRAMES)), expected)


@pytest.mark.parametrize("step", ["interleaved", "modules", "growing"])
def test_virtual_datasets_as_detectors_write_them(tmp_path, step):
    frames = np.arange(12 * 4 * 6, dtype=np.uint16).reshape(12, 4, 6)
    for k in range(2):
        with h5py.File(tmp_path / f"part_{k}.h5", "w") as part:
            part["data"] = frames[k::2] if step == "interleaved" else frames[6 * k : 6 * k + 6]
    shape = (12, 4, 9) if step == "modules" else frames.shape
    with h5py.File(tmp_path / "all.h5", "w") as file:
        layout = h5py.VirtualLayout(shape, frames.dtype, (None, *shape[1:]))
        for k in range(2):
            source = h5py.VirtualSource(f"part_{k}.h5", "data", (6, 4, 6))
            where = np.s_[k::2] if step == "interleaved" else np.s_[6 * k : 6 * k + 6, :, :6]
            layout[where] = source
        if step == "growing":
            grow(file)
        else:
            file.create_virtual_dataset("data", layout)
    with open_hdf5(tmp_path / "all.h5") as file:
        data = node(tmp_path / "all.h5", file, "data", h5py.Dataset)
        np.testing.assert_array_equal(data[:, :, :6], frames)
    (tmp_path / "part_1.h5").unlink()
    with open_hdf5(tmp_path / "all.h5") as file:
        if step == "growing":  # HDF5 takes it to be shorter
            assert file["data"].shape[0] == 6
        else:
            with pytest.raises(ValueError, match=r"its source part_1.h5, for frames"):
                node(tmp_path / "all.h5", file, "data", h5py.Dataset)


def grow(file):
    """A virtual dataset of as many files part_N.h5 as there are."""
    endless, one = (h5py.h5s.UNLIMITED, 4, 6), (6, 4, 6)
    target = h5py.h5s.create_simple((12, 4, 6), endless)
    target.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), stride=one, block=one)
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_virtual(target, b"part_%b.h5", b"data", h5py.h5s.create_simple(one))
    space = h5py.h5s.create_simple((12, 4, 6), endless)
    h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U16LE, space, created)


@pytest.fixture
def compressed(path):
    filters = pytest.importorskip("hdf5plugin")
    with h5py.File(path, "r+") as file:
        frames = file[DATA][:]
        del file[DATA]
        chunks = (1, *frames.shape[1:])
        file.create_dataset(DATA, data=frames, chunks=chunks, **filters.Blosc2(cname="zstd"))
    return path


def test_compressed_frames(compressed, counted, tmp_path):
    other = write_data_exchange(tmp_path / "plain.h5", counted)
    found, expected = (read_problem(one, Asked(center=40.0)).data for one in (compressed, other))
    np.testing.assert_array_equal(found.y(range(FRAMES)), expected.y(range(FRAMES)))


@pytest.mark.parametrize("virtual", [False, True])
def test_a_filter_that_is_not_there(compressed, monkeypatch, capsys, virtual):
    if virtual:
        other = compressed.with_name("raw")
        with h5py.File(compressed, "r+") as file, h5py.File(other, "w") as raw:
            file.copy(DATA, raw, "data")
            layout = h5py.VirtualLayout(raw["data"].shape, raw["data"].dtype)
            layout[...] = h5py.VirtualSource("raw", "data", raw["data"].shape)
            del file[DATA]
            file.create_virtual_dataset(DATA, layout)
    known = h5py.h5z.filter_avail
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda k: k != 32026 and known(k))
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    _plugins.cache_clear()
    with pytest.raises(SystemExit) as end:
        main(["check", str(compressed)])
    _plugins.cache_clear()
    said = capsys.readouterr().err
    place = "its source raw, for frames 0 to 39: /data" if virtual else "/exchange/data"
    assert end.value.code == 2 and said.count("\n") == 1
    assert f"{place} is compressed with the HDF5 filter 32026 (blosc2), which is not here" in said
    assert "pip install hdf5plugin, or set HDF5_PLUGIN_PATH" in said
