"""What asyncred ships is there, however it was installed."""

import matplotlib.image

from asyncred.denoisers.pictures import photograph_path
from asyncred.denoisers.shipped import model_names, model_path


def test_every_name_is_a_file():
    names = model_names()
    assert names == sorted(names)
    for name in names:
        assert model_path(name).name == f"{name}.onnx"
        assert model_path(name).is_file()


def test_own_file(tmp_path):
    path = tmp_path / "own.onnx"
    assert model_path(str(path)) is None
    path.touch()
    assert model_path(str(path)) == path


def test_photograph():
    photograph = matplotlib.image.imread(photograph_path())
    assert photograph.shape == (480, 480)
    assert photograph.max() - photograph.min() > 0.9
