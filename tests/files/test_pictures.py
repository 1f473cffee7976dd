"""Pictures become gray images in [0, 1]."""

import numpy as np
import pytest
from PIL import Image

from asyncred.files.pictures import load_image

GRAY = np.arange(0, 256, 2, dtype=np.uint8).reshape(8, 16)


def picture(path, array):
    Image.fromarray(array).save(path)
    return str(path)


def test_shipped_photograph():
    image = load_image("camera")
    assert image.shape == (480, 480) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.1


@pytest.mark.parametrize(
    "array",
    [
        GRAY,
        np.stack([GRAY] * 3, axis=-1),
        GRAY.astype(np.uint16) * 257,
        GRAY.astype(np.float32) / 255,
    ],
    ids=["gray", "colour", "16 bits", "float"],
)
def test_pictures_of_every_depth(array, tmp_path):
    suffix = "tiff" if array.dtype == np.float32 else "png"
    image = load_image(picture(tmp_path / f"picture.{suffix}", array))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, GRAY / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "white"), [(np.float64, 1), (np.float32, 1), (np.uint8, 255), (np.uint16, 65535)]
)
def test_npy_arrays_of_every_kind(kind, white, tmp_path):
    expected = np.array([[0, 1, 0.2], [0.4, 0.6, 0.8]])
    np.save(tmp_path / "image.npy", (expected * white).astype(kind))
    image = load_image(str(tmp_path / "image.npy"))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_size_scales_the_longer_side(tmp_path):
    x = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    image = load_image(picture(tmp_path / "picture.png", x), size=30)
    assert image.shape == (20, 30)
    smaller = x.reshape(20, 2, 30, 2).mean(axis=(1, 3)) / 255
    assert np.abs(image - smaller)[2:-2, 2:-2].max() < 0.01
    assert image.min() >= 0 and image.max() <= 1
    assert load_image(str(tmp_path / "picture.png"), size=60).shape == (40, 60)


@pytest.mark.parametrize("size", [0, -1, 17])
def test_size_that_is_no_reduction(size, tmp_path):
    with pytest.raises(ValueError, match=f"--size is {size}, expected 1 to 16"):
        load_image(picture(tmp_path / "picture.png", GRAY), size=size)


def npy(array):
    return lambda path: np.save(path, array)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("no.png", lambda path: None, "no such file"),
        ("text.png", lambda path: path.write_text("text"), "not a picture"),
        ("empty.png", lambda path: path.touch(), "not a picture"),
        ("text.npy", lambda path: path.write_text("text"), "cannot be read"),
        ("empty.npy", lambda path: path.touch(), "cannot be read"),
        ("volume.npy", npy(np.zeros((2, 3, 4))), r"float64 \[2, 3, 4\], expected finite"),
        ("complex.npy", npy(np.zeros((2, 3), complex)), r"complex128 \[2, 3\], expected"),
        ("loud.npy", npy(np.full((2, 3), 255.0)), "255 to 255, expected 0 to 1"),
        ("signed.npy", npy(np.full((2, 3), 1)), "int64"),
        ("nan.npy", npy(np.full((2, 3), np.nan)), "expected finite"),
        ("object.npy", npy(np.array([[None]])), "cannot be read"),
    ],
)
def test_no_image(name, write, words, tmp_path):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=words) as error:
        load_image(str(tmp_path / name))
    assert name in str(error.value)


def test_truncated_picture(tmp_path):
    path = tmp_path / "picture.png"
    picture(path, np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="not a picture"):
        load_image(str(path))
