"""The operator of docs/example_operator, installed as a user installs it, and wrong ones."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import h5py

from asyncred.commands import cli
from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from launch import mpirun

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_operator"

WRONG = """
import numpy as np
from single_pixel import SinglePixel

class Doubled(SinglePixel):
    def adjoint(self, i, r, groups):
        return 2 * super().adjoint(i, r, groups)

class Waves(SinglePixel):
    dtype = np.complex64

    def forward(self, i, x_i, groups):
        return super().forward(i, x_i.real, groups) + 2 * super().forward(i, x_i.imag, groups)

    def adjoint(self, i, r, groups):
        return (1 + 2j) * super().adjoint(i, r, groups).astype(np.complex64)

class Wide(SinglePixel):
    def forward(self, i, x_i, groups):
        return super().forward(i, x_i, groups).astype(np.float64)

class Short(SinglePixel):
    def __init__(self, operator, grid, blocks):
        super().__init__(operator, grid, blocks)
        self.length -= 1

class Hungry(SinglePixel):
    def __init__(self, operator, grid, blocks):
        operator["masks"]

class Strict(SinglePixel):
    def __init__(self, operator, grid, blocks):
        raise ValueError("/operator/patterns holds 2, expected +1 and -1")

class Lonely:
    def __init__(self, operator):
        pass

class Mute:
    def __init__(self, operator, grid, blocks):
        pass
"""
NAMES = ("Doubled", "Waves", "Wide", "Short", "Hungry", "Strict", "Lonely", "Mute", "Gone")


def install(folder, name, points):
    """What pip leaves of a package beside its modules."""
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[asyncred.operators]\n{points}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of installed packages: the example, and one of wrong operators."""
    folder = tmp_path_factory.mktemp("site")
    setup = configparser.ConfigParser()
    setup.read(EXAMPLE / "setup.cfg")
    install(folder, "single_pixel", setup["options.entry_points"]["asyncred.operators"].strip())
    for module in setup["options"]["py_modules"].split():
        (folder / f"{module}.py").write_bytes((EXAMPLE / f"{module}.py").read_bytes())
    (folder / "wrong.py").write_text(WRONG)
    wrong = [f"{name.lower()} = wrong:{name}" for name in NAMES]
    install(folder, "wrong", "\n".join([*wrong, "absent = nowhere:Model"]))
    return folder


@pytest.fixture(scope="module")
def environment(site):
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def problem(tmp_path_factory, environment):
    path = tmp_path_factory.mktemp("own") / "problem.h5"
    command = [sys.executable, EXAMPLE / "write_problem.py", path]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, **environment})
    return path


def test_check_from_the_command_line(problem, environment):
    command = [sys.executable, "-m", "asyncred", "check", problem]
    done = mpirun(1, *command, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert "single_pixel, 64 groups of 24 measurements, single_pixel:SinglePixel" in done.stdout
    assert "MiB of y and x (besides the operator's own)\n" in done.stdout
    found = re.search(r"dot test of blocks 0, 7, 15: .* differ by (\S+) of", done.stdout)
    assert found and float(found[1]) < 1e-6


@pytest.mark.ranks
def test_run_on_any_number_of_ranks(problem, environment):
    output, images = problem.with_name("result.h5"), []
    flags = ["--denoiser", "tv", "--sigma", "5", "--threads", "1"]
    for ranks, method, more in (
        (1, "gm", ["--epochs", "600", "--tol", "1e-5"]),
        (2, "async", ["--epochs", "40"]),
        (2, "async", ["--epochs", "80", "--minibatch", "32", "--decay", "50"]),
    ):
        command = ["run", problem, "-o", output, "--overwrite", "--method", method, *flags, *more]
        done = mpirun(
            ranks, sys.executable, "-m", "asyncred", *command, timeout=120, env=environment
        )
        assert done.returncode == 0, done.stderr
        images.append(read_result(output))
    serial, parallel, minibatch = images
    assert snr(serial.truth, serial.image) > 30
    assert snr(serial.image, parallel.image) > 35
    assert snr(serial.image, minibatch.image) > 25


@pytest.fixture
def of_kind(problem, tmp_path, site, monkeypatch):
    """A copy of the problem of another kind, where the packages are installed."""
    monkeypatch.syspath_prepend(site)

    def copy(kind):
        path = tmp_path / "copy.h5"
        path.write_bytes(problem.read_bytes())
        with h5py.File(path, "r+") as file:
            file["operator"].attrs["kind"] = kind
        return path

    return copy


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2 and not out
    assert err.startswith("asyncred: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "doubled",
            r"operator 'doubled': <A x, z> and <x, A\^T z> differ by [0-9.]*e-01 of .* "
            "expected at most 1e-05: adjoint is not the transpose of forward",
        ),
        (
            "wide",
            r"operator 'wide' \(wrong:Wide\): forward of block 0 is float64 \[64, 24\], "
            r"expected float32 \[64, 24\]",
        ),
        (
            "short",
            r"/measurements/y is float32 \[64, 24\], expected float32 \[64, 23\] "
            r"\(groups and length of wrong:Short\)",
        ),
        ("hungry", r"operator 'hungry' \(wrong:Hungry\): .*'masks' doesn't exist"),
        ("strict", r"operator 'strict' \(wrong:Strict\): /operator/patterns holds 2, expected"),
        ("lonely", r"\(wrong:Lonely\): cannot be called as Model\(operator, grid, blocks\): too"),
        ("mute", r"\(wrong:Mute\): has no dtype, groups, length, footprint, forward, adjoint"),
        ("gone", r"\(wrong:Gone\): cannot be loaded: .*'Gone'"),
        ("absent", r"\(nowhere:Model\): cannot be loaded: No module named 'nowhere'"),
        (
            "radon",
            r"/operator kind is 'radon', expected .*parallel_beam.*, or an installed operator "
            r"\(absent, doubled, .*, single_pixel, strict, waves, wide\)",
        ),
    ],
)
def test_wrong_operators_are_named(of_kind, capsys, kind, message):
    path = of_kind(kind)
    error = refused(capsys, "check", path)
    assert str(path) in error and re.search(message, error), error


def test_two_packages_of_one_name(of_kind, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    install(other, "other", "single_pixel = elsewhere:Model")
    monkeypatch.syspath_prepend(other)
    with pytest.raises(ValueError, match="elsewhere:Model and single_pixel:SinglePixel both claim"):
        read_problem(of_kind("single_pixel"))


def test_a_rank_reads_its_blocks_alone(of_kind):
    data = read_problem(of_kind("single_pixel")).data
    assert list(data.model([2, 7], threads=1)._A) == [2, 7]
    data.check()


def test_a_complex_image(of_kind, capsys):
    path = of_kind("waves")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", str(path)])
    assert exit_.value.code == 0 and "dot test of blocks" in capsys.readouterr().out
    problem = read_problem(path)
    assert problem.data.dtype == np.complex64
    assert problem.truth(np.s_[0:2, 0:2], 0).dtype == np.complex64


def test_the_page_shows_the_entry_point():
    page = (EXAMPLE.parent / "howto/operator.md").read_text()
    shown = re.search("```ini\n(.*?)```", page, re.DOTALL)
    assert shown and shown[1] in (EXAMPLE / "setup.cfg").read_text()
