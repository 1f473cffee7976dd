"""Stacks of TIFF files as scans: the same values as in HDF5; what does not fit is named."""

import re
import sys

import numpy as np
import pytest

from asyncred.commands.cli import main
from asyncred.files.problem import Asked, Places, read_problem
from asyncred.files.problem.tiff import files_of, read_stack_of_tiff
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.plan import sha256
from commands import ASYNCRED
from launch import mpirun
from scans import HALF_TURN, SLICES, VIEWS, scan, write_data_exchange

tifffile = pytest.importorskip("tifffile")
RANGE = f"{HALF_TURN[0]}:{HALF_TURN[-1]}"


@pytest.fixture(scope="module")
def counted():
    return scan(offset=-2.7)


def write(folder, frames, name="img_{}.tif", **settings):
    """A file a frame; numbers in the names are not padded."""
    folder.mkdir(parents=True)
    for k, frame in enumerate(frames):
        tifffile.imwrite(folder / name.format(k), frame, **settings)
    return folder


@pytest.fixture
def folder(tmp_path, counted):
    write(tmp_path / "flats", counted.white)
    tifffile.imwrite(tmp_path / "dark.tif", counted.dark, photometric="minisblack")
    return write(tmp_path / "proj", counted.data)


def asked(folder, **changes):
    place = folder.parent
    told = {"white": str(place / "flats"), "dark": str(place / "dark.tif"), "angles": RANGE}
    return Asked(places=Places(**{**told, **changes}))


@pytest.fixture
def expected(tmp_path, counted):
    return read_problem(write_data_exchange(tmp_path / "scan.h5", counted)).data


def same(found, expected):
    assert found.center == expected.center
    np.testing.assert_allclose(found.angles, expected.angles)
    for k in range(SLICES):
        for views in (range(VIEWS), range(9, 12)):
            np.testing.assert_array_equal(found.of(k).y(views), expected.of(k).y(views))


def test_the_same_as_in_hdf5(folder, expected):
    problem = read_problem(folder, asked(folder))
    assert problem.kind == "tiff" and problem.images == range(SLICES)
    same(problem.data, expected)


KINDS = {
    "big endian": {"byteorder": ">"},
    "several strips": {"rowsperstrip": 1},
    "compressed": {"compression": "zlib"},
    "BigTIFF": {"bigtiff": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(tmp_path, folder, counted, expected, kind):
    other = write(tmp_path / "other" / "proj", counted.data, "p_{}.TIFF", **KINDS[kind])
    found = read_problem(other, asked(folder)).data
    same(found, expected)
    packed = f"{VIEWS} TIFF frames are compressed: each slice unpacks all of them"
    assert (packed in found.notes) == (kind == "compressed")


@pytest.mark.parametrize("kind", ["pages", "ImageJ", "one run"])
def test_a_file_of_many_frames(tmp_path, folder, counted, expected, kind):
    path = tmp_path / "all.tif"
    if kind == "pages":
        with tifffile.TiffWriter(path) as file:
            for frame in counted.data:
                file.write(frame, contiguous=False)
    elif kind == "ImageJ":
        tifffile.imwrite(path, counted.data, imagej=True)
    else:
        tifffile.imwrite(path, counted.data, truncate=True, photometric="minisblack")
    same(read_problem(path, asked(folder)).data, expected)


def test_a_pattern(folder, counted, expected):
    write(folder / "more", counted.white, "img_{}.tif")
    tifffile.imwrite(folder / "preview.tif", np.zeros((4, 4), np.uint8))
    (folder / "log.txt").write_text("beam on")
    (folder / "._img_0.tif").write_text("of another system")
    same(read_problem(folder / "img_*.tif", asked(folder)).data, expected)
    names = [path.name for path in files_of(folder / "img_*.tif")]
    assert names == [f"img_{k}.tif" for k in range(VIEWS)]


@pytest.mark.parametrize("name", ["scan[1].h5", "scan_*.nxs"])
def test_what_is_no_stack(tmp_path, name):
    with pytest.raises(ValueError, match="no such file"):
        read_problem(tmp_path / name)


def test_angles_of_a_file(tmp_path, folder, expected):
    angles = tmp_path / "angles.txt"
    np.savetxt(angles, HALF_TURN)
    same(read_problem(folder, asked(folder, angles=str(angles))).data, expected)


def test_signed_and_float_values(tmp_path):
    for dtype in (np.float32, np.int16, np.uint8, np.float64):
        frames = (np.arange(24).reshape(2, 3, 4) - (dtype != np.uint8) * 9).astype(dtype)
        stack = read_stack_of_tiff(write(tmp_path / np.dtype(dtype).name, frames), "x")
        np.testing.assert_array_equal(stack.rows(None, range(1, 3)), frames[:, 1:].swapaxes(0, 1))


def test_the_digest_is_of_all_files(folder, counted):
    before = sha256(files_of(folder))
    assert before == sha256(files_of(folder / "img_*.tif"))
    tifffile.imwrite(folder / "img_7.tif", counted.data[8])
    assert sha256(files_of(folder)) != before


def no_angles(folder):
    return asked(folder, angles=None), f"{folder}: {VIEWS} TIFF frames and no angles, expected --an"


def few_angles(folder):
    angles = folder.parent / "angles.txt"
    np.savetxt(angles, HALF_TURN[:-2])
    return asked(folder, angles=str(angles)), f"has {VIEWS - 2} angles, expected {VIEWS}"


def angles_of_a_dataset(folder):
    told = "/entry/angles"
    return asked(folder, angles=told), f"--angles is {told}, expected a file, or START:STOP in deg"


def data_of_a_dataset(folder):
    return asked(folder, data="/entry/data"), "--data is /entry/data, expected none, which HDF5"


def no_white(folder):
    return asked(folder, white="flat"), "--white is flat, expected a folder of TIFF files, or such"


def an_empty_folder(folder):
    (folder.parent / "none").mkdir()
    return asked(folder, dark=str(folder.parent / "none")), "none: no file ending in .tif or .tiff"


def another_shape(folder):
    tifffile.imwrite(folder / "img_3.tif", np.zeros((SLICES, 60), np.uint16))
    return asked(folder), f"img_3.tif: uint16 [{SLICES}, 60], expected uint16 [{SLICES}, 64] as im"


def other_fields(folder):
    tifffile.imwrite(folder.parent / "dark.tif", np.zeros((SLICES + 1, 64), np.uint16))
    return asked(folder), f"dark.tif: frames [{SLICES + 1}, 64], expected [{SLICES}, 64] (rows and"


def colour(folder):
    tifffile.imwrite(folder / "img_0.tif", np.zeros((SLICES, 64, 3), np.uint8), photometric="rgb")
    return asked(folder), f"img_0.tif: uint8 [{SLICES}, 64, 3], expected gray frames"


def cut_off(folder):
    path = folder / "img_5.tif"
    path.write_bytes(path.read_bytes()[:-100])
    return asked(folder), "img_5.tif: has 540 bytes and ends within page 0, expected 640: the copy"


def no_tiff(folder):
    (folder / "img_9.tif").write_text("moved to tape")
    return asked(folder), "img_9.tif: no TIFF file: "


def an_unknown_compression(folder):
    path = folder / "img_0.tif"
    tifffile.imwrite(path, np.ones((SLICES, 64), np.uint16), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].tags["Compression"].valueoffset
    data[offset : offset + 2] = (34887).to_bytes(2, "little")  # LERC
    path.write_bytes(data)
    return asked(folder), "img_0.tif: page 0 cannot be unpacked: "


FAULTS = (
    no_angles,
    few_angles,
    angles_of_a_dataset,
    data_of_a_dataset,
    no_white,
    an_empty_folder,
    another_shape,
    other_fields,
    colour,
    cut_off,
    no_tiff,
    an_unknown_compression,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_is_wrong(fault, folder):
    told, message = fault(folder)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_problem(folder, told)
    assert "\n" not in str(error.value)


def test_a_file_that_is_lost_later(folder):
    data = read_problem(folder, asked(folder)).data
    (folder / "img_4.tif").write_bytes(b"II*")
    with pytest.raises(
        ValueError, match=r"img_4.tif: ends within row 1, expected all of the frame"
    ):
        data.of(1).y(range(VIEWS))
    (folder / "img_4.tif").unlink()
    with pytest.raises(ValueError, match=r"img_4.tif: cannot be read: No such file"):
        data.of(1).y(range(VIEWS))


def test_without_tifffile(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(SystemExit) as end:
        main(["check", str(folder), "--angles", RANGE])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert "expected the package tifffile to read it: pip install 'asyncred[tiff]'" in said


@pytest.mark.ranks
def test_run(folder, counted, tmp_path):
    output, place = tmp_path / "result.h5", folder.parent
    flags = ["--angles", RANGE, "--white", place / "flats", "--dark", place / "dark.tif"]
    flags += ["--denoiser", "tv", "--sigma", "5", "--epochs", "40", "--block", "32"]
    done = mpirun(2, *ASYNCRED, "run", folder, "-o", output, *flags, "--threads", "1", timeout=120)
    assert done.returncode == 0, done.stderr
    for k in range(SLICES):
        found = read_result(output, k)
        assert found.provenance["parameters"]["white"] == str(place / "flats")
        assert found.completed.all() and snr(counted.truth[k], found.image) > 19
