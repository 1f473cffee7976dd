"""The examples in the docstrings of the public names, run as they stand."""

from __future__ import annotations

import doctest

import pytest

import asyncred
from commands import simulate

NAMES = sorted(name for names in asyncred._PUBLIC.values() for name in names)


def examples():
    """A test for each example that a public name has."""
    finder = doctest.DocTestFinder(recurse=False)
    return [test for name in NAMES for test in finder.find(getattr(asyncred, name), name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the files that the examples name."""
    path = tmp_path_factory.mktemp("examples")
    simulate("inpaint", path / "problem.h5", "--size", "64", "--block", "32")
    asyncred.run(path / "problem.h5", path / "result.h5", denoiser="tv", sigma=5, epochs=1)
    return path


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_an_example_gives_what_it_says(test, folder, monkeypatch):
    monkeypatch.chdir(folder)
    failed, tried = doctest.DocTestRunner().run(test)
    assert failed == 0
    assert tried or test.name in ("InputError", "Solution", "FanGeometry")
