"""Images of a result for other programs: values kept, ranges said, nothing overwritten."""

import sys

import numpy as np
import pytest
from PIL import Image as pillow

import h5py

from asyncred.commands.cli import main
from asyncred.files.result import ResultFile, create_result, write_result
from results import GRID, by_block, example, images, layout, record

NUMBERS = range(5, 9)
LOW, HIGH = 0.2, 0.7


def call(*words):
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    return end.value.code


@pytest.fixture
def single(tmp_path):
    return example(tmp_path / "disc.h5", shades=(LOW, HIGH))


@pytest.fixture
def stack(tmp_path):
    """Images 5 to 8 of a problem; 7 is incomplete, 8 is not there yet. Rising values."""
    path, x = tmp_path / "stack.h5", images()["data"]
    about = layout(images=NUMBERS, with_truth=False)
    create_result(path, about)
    with ResultFile(path) as file:
        for row in range(3):
            blocks = {name: by_block(x + row) for name in ("data", "start")}
            shades = (LOW + row, HIGH + row)
            file.write(row, GRID, record(shades=shades, complete=row != 2), blocks)
    return path


def test_tiff(single, tmp_path, capsys):
    tifffile = pytest.importorskip("tifffile")
    assert call("export", single, tmp_path / "new" / "out") == 0
    found = tifffile.imread(tmp_path / "new" / "out" / "disc_0000.tif")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, images()["data"])
    said = capsys.readouterr().out
    assert said == f"wrote {tmp_path}/new/out/disc_0000.tif: 1 image(s), float32\n"


def test_png(single, tmp_path, capsys):
    assert call("export", single, tmp_path, "--format", "png") == 0
    with pillow.open(tmp_path / "disc_0000.png") as picture:
        found = np.asarray(picture)
    expected = np.clip((images()["data"] - LOW) / (HIGH - LOW), 0, 1) * 255
    assert found.dtype == np.uint8 and (found == 0).any() and (found == 255).any()
    np.testing.assert_allclose(found, expected, atol=0.51)
    assert "8 bits, black is 0.2 and below, white 0.7 and above" in capsys.readouterr().out


def test_nifti(stack, tmp_path, capsys):
    nibabel = pytest.importorskip("nibabel")
    assert call("export", stack, tmp_path, "--format", "nifti") == 0
    found = nibabel.load(tmp_path / "stack.nii")
    assert found.get_data_dtype() == np.float32 and found.shape == (*GRID.shape[::-1], 3)
    assert nibabel.aff2axcodes(found.affine) == ("R", "P", "S")
    for k in range(3):
        np.testing.assert_array_equal(found.get_fdata()[:, :, k].T, images()["data"] + k)


def test_a_stack(stack, tmp_path, capsys):
    assert call("export", stack, tmp_path / "out", "--format", "png") == 0
    said = capsys.readouterr().out
    assert "stack_0005.png to stack_0007.png: 3 image(s), 8 bits, black is 0.2 and below" in said
    assert "white 2.7 and above; incomplete: 7; not there yet: 1" in said
    assert call("export", stack, tmp_path / "out", "--format", "npy") == 0
    found = np.load(tmp_path / "out" / "stack.npy")
    assert found.shape == (3, *GRID.shape) and found.dtype == np.float32
    np.testing.assert_array_equal(found[2], images()["data"] + 2)


def test_complex_images(tmp_path, capsys):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "knee.h5"
    x = (images()["data"] * np.exp(0.7j)).astype(np.complex64)
    blocks = {name: by_block(x) for name in ("data", "start")}
    write_result(path, layout(dtype=np.complex64, with_truth=False), record(), blocks)
    for form in ("tiff", "npy"):
        assert call("export", path, tmp_path / "out", "--format", form) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "knee.npy")[0], x)
    found = tifffile.imread(tmp_path / "out" / "knee_0000.tif")
    np.testing.assert_array_equal(found, np.abs(x))
    said = capsys.readouterr().out
    assert "magnitude, float32" in said and "complex64 [1, 26, 34]" in said


@pytest.mark.parametrize("form", ["tiff", "png", "npy", "nifti"])
def test_nothing_is_overwritten(single, tmp_path, capsys, form):
    out = tmp_path / "out"
    assert call("export", single, out, "--format", form) == 0
    (file,) = out.iterdir()
    file.write_text("mine")
    assert call("export", single, out, "--format", form) == 2
    assert file.read_text() == "mine"
    assert f"{file}: exists; --overwrite replaces it" in capsys.readouterr().err
    assert call("export", single, out, "--format", form, "--overwrite") == 0
    assert file.stat().st_size > 100 and list(out.iterdir()) == [file]


def no_result(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((3, 4))
    return "/entry/data/data is missing, expected a result of asyncred run"


def an_empty_stack(path):
    create_result(path, layout(images=NUMBERS))
    return "no image of 4 is there yet, expected some"


def a_file(path):
    example(path)
    (path.parent / "out").write_text("")
    return "out: is a file, expected a folder to write to"


def no_range(path):
    example(path, shades=(np.nan, np.nan))
    return "/entry/reconstruction/range is [nan, nan], expected black below white"


def below_a_file(path):
    example(path)
    (path.parent / "file").write_text("")
    (path.parent / "out").symlink_to(path.parent / "file" / "below")
    return "out: cannot be made: "


@pytest.mark.parametrize("fault", [no_result, an_empty_stack, a_file, no_range, below_a_file])
def test_what_is_wrong(fault, tmp_path, capsys):
    message = fault(tmp_path / "r.h5")
    assert call("export", tmp_path / "r.h5", tmp_path / "out", "--format", "png") == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.parametrize(("form", "package"), [("tiff", "tifffile"), ("nifti", "nibabel")])
def test_a_package_that_is_missing(single, tmp_path, monkeypatch, capsys, form, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert call("export", single, tmp_path / "out", "--format", form) == 2
    said = capsys.readouterr().err
    assert f"the package {package} is not installed" in said
    assert f"pip install 'asyncred[{form}]'" in said and not (tmp_path / "out").exists()


def test_a_format_that_is_none(single, tmp_path, capsys):
    assert call("export", single, tmp_path, "--format", "tif") == 2
    assert "did you mean tiff?" in capsys.readouterr().err
