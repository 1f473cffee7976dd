"""The result file: everything comes back, other programs find it, and it is whole or absent."""

import numpy as np
import pytest

import h5py

import asyncred
from asyncred.files.result import create_result, read_result, read_start, write_result
from asyncred.history import Sample
from results import GRID, OWNER, PROVENANCE, by_block, example, images, layout, record


@pytest.fixture
def path(tmp_path):
    return example(tmp_path / "result.h5")


def test_round_trip(path):
    found, expected = read_result(path), record()
    for name, image in zip(("image", "start", "truth"), images().values(), strict=True):
        np.testing.assert_array_equal(getattr(found, name), image)
        assert getattr(found, name).dtype == np.float32
    for name in Sample.names():
        values = [getattr(sample, name) for sample in expected.history]
        np.testing.assert_array_equal(found.column(name), values)
    np.testing.assert_array_equal(found.per_block, expected.per_block)
    np.testing.assert_array_equal(found.per_rank, [28, 92])
    np.testing.assert_array_equal(found.delays[:3], expected.delays)
    assert not found.delays[3:].any()
    np.testing.assert_allclose(
        found.timing, [[2, 1, 0.5, 0, 0.25], [2, 1.5, 0.4, 0.1, 0]], atol=1e-9
    )
    assert found.complete is True
    assert {key: found.provenance[key] for key in PROVENANCE} == PROVENANCE
    assert found.provenance["version"] == asyncred.__version__


def test_without_truth_and_not_complete(tmp_path):
    found = read_result(example(tmp_path / "result.h5", truth=False, complete=False))
    assert found.truth is None and found.complete is False


def test_two_formats_share_one_dataset(path):
    """Data Exchange and NXtomoproc are the same bytes: a hard link, not a copy."""
    with h5py.File(path) as file:
        assert isinstance(file.get("exchange/data", getlink=True), h5py.HardLink)
        assert file["exchange/data"] == file["entry/data/data"]
        assert h5py.h5o.get_info(file["exchange/data"].id).rc == 2
        data = file["exchange/data"]
        assert data.shape == (1, *GRID.shape) and data.dtype == np.float32


def test_nexus_finds_its_way(path):
    with h5py.File(path) as file:
        entry = file[file.attrs["default"]]
        assert (
            entry.attrs["NX_class"] == "NXentry" and entry["definition"].asstr()[()] == "NXtomoproc"
        )
        data = entry[entry.attrs["default"]]
        assert data.attrs["NX_class"] == "NXdata"
        signal = data[data.attrs["signal"]]
        assert [len(data[axis]) for axis in data.attrs["axes"]] == list(signal.shape)
        assert entry["reconstruction"].attrs["NX_class"] == "NXprocess"
        assert entry["convergence/seconds"].attrs["units"] == "s"
        np.testing.assert_array_equal(entry["updates/owner"], [OWNER])


def failing(image):
    yield from by_block(image)[:5]
    raise RuntimeError("a rank failed")


@pytest.mark.parametrize("existing", [False, True])
def test_interrupted_writing(existing, tmp_path):
    path = tmp_path / "result.h5"
    if existing:
        path.write_text("old")
    blocks = {"data": by_block(images()["data"]), "start": failing(images()["start"])}
    with pytest.raises(RuntimeError):
        write_result(path, layout(), record(), blocks)
    assert [p.name for p in tmp_path.iterdir()] == ["result.h5"] * existing
    assert not existing or path.read_text() == "old"


def test_replaces_an_old_file_whole(path):
    example(path, complete=False)
    assert read_result(path).complete is False
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "missing",
    ["entry/data/data", "entry/start/data", "entry/updates/per_rank", "entry/timing/rest"],
)
def test_no_result(missing, path):
    with h5py.File(path, "r+") as file:
        del file[missing]
    with pytest.raises(ValueError, match=rf"result\.h5: /{missing} is missing, expected a result"):
        read_result(path)


def test_start_from_a_result(path):
    data, rows = read_start(path, GRID)
    with data.file:
        assert rows == {0: (0,)}
        np.testing.assert_array_equal(data[0], images()["data"])


def test_images_of_a_result_are_found_by_their_numbers(tmp_path):
    path = tmp_path / "r.h5"
    create_result(path, layout(images=range(3, 6)))
    data, rows = read_start(path, GRID, range(4, 6))
    data.file.close()
    assert (rows[4], rows[5]) == ((1,), (2,))
    with pytest.raises(ValueError, match=r"holds images \[3, 4, 5\], expected \[2, 3\] among them"):
        read_start(path, GRID, range(2, 4))


@pytest.mark.parametrize(
    ("value", "shape"), [("data", (26, 34)), ("data", (1, 26, 34))], ids=["image", "stack"]
)
def test_start_from_any_file(value, shape, tmp_path):
    with h5py.File(tmp_path / "start.h5", "w") as file:
        file[value] = np.ones(shape)
    data, _ = read_start(tmp_path / "start.h5", GRID)
    with data.file:
        assert data.shape == shape


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: file.create_group("other"), "neither /entry/data/data nor /data"),
        (lambda file: file.create_group("data"), "/data is a group, expected a dataset"),
        (
            lambda file: file.update({"data": h5py.ExternalLink("gone.h5", "/data")}),
            "/data links to /data of the file gone.h5, which is missing",
        ),
        (
            lambda file: file.create_dataset("data", GRID.shape, "f4", chunks=(5, 5)),
            "/data: 42 of 42 chunks were never written, of entries 0 to 25",
        ),
        (lambda file: file.update({"data": np.ones((2, 26, 34))}), r"\[2, 26, 34\], expected \[26"),
        (lambda file: file.update({"data": np.ones((26, 33))}), r"/data is \[26, 33\], expected"),
    ],
)
def test_no_start(write, words, tmp_path):
    with h5py.File(tmp_path / "start.h5", "w") as file:
        write(file)
    with pytest.raises(ValueError, match=words) as error:
        read_start(tmp_path / "start.h5", GRID)
    assert "start.h5: " in str(error.value)


def test_blocks_in_any_order(tmp_path):
    blocks = {name: by_block(image)[::-1] for name, image in images().items()}
    write_result(tmp_path / "r.h5", layout(), record(), blocks)
    np.testing.assert_array_equal(read_result(tmp_path / "r.h5").image, images()["data"])
