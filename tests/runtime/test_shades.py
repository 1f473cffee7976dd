"""Black and white: what is said is kept, and 0 to 1 unless the start shows that it cannot be."""

from types import SimpleNamespace

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.shades import decide, together, values_of
from commands import ASYNCRED, several, simulate
from launch import mpirun

FLAGS = ("--epochs", "2", "--threads", "1")


def photograph(low=0.0, high=1.0, noise=0.0, side=64):
    """Smooth shapes and a fine texture between two values, and noise of this standard deviation."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:side, :side] / side
    x = 0.45 * (1 + np.sin(7 * rows) * np.cos(5 * cols)) + 0.1 * rng.random((side, side))
    return (low + (high - low) * x + noise * rng.standard_normal(x.shape)).astype(np.float32)


def decided(x, *, asked=None, shades=(0.0, 1.0), stated=False):
    blocks = [x[:24], x[24:]]
    return decide(
        SimpleNamespace(shades=shades, stated=stated), asked, together(values_of(blocks, 2))
    )


KEPT = {
    "photograph": photograph(),
    "dark": photograph(0, 0.2),
    "low contrast": photograph(0.6, 0.65),
    "bright": photograph(-1, 3),
    "strong noise": photograph(noise=5),
    "zero": np.zeros((64, 64), np.float32),
    "constant": np.full((64, 64), 1e-3, np.float32),
    "nothing but noise": photograph(0, 0, noise=0.01),
    "zero-filled without its middle": photograph(0, 0.03).astype(np.complex64),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_assumed_is_kept(name):
    found = decided(KEPT[name])
    assert (found.shades, found.note, found.doubt) == ((0.0, 1.0), None, None)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (photograph(0, 0.012), "a small part of 0 to 1"),
        (photograph(0, 0.012, noise=0.002), "a small part of 0 to 1"),
        (photograph(-0.01, 0.08), "a small part of 0 to 1"),
        (photograph(1.33, 1.38), "a small part of 0 to 1"),
        (photograph(0, 255), "far beyond 0 to 1"),
        (photograph(0, 255, noise=200), "far beyond 0 to 1"),
        (photograph(-1000, 0), "far beyond 0 to 1"),
        (photograph(0, 1e-5).astype(np.complex64), "a small part of 0 to 1"),
        (photograph(0, 1e5).astype(np.complex64), "far beyond 0 to 1"),
    ],
)
def test_a_start_that_cannot_fit(x, words):
    """Nobody said 0 to 1: they are taken from the start. Somebody did: that is a doubt."""
    found = decided(x)
    assert words in found.note and found.doubt is None
    low, high = np.quantile(np.abs(x) if np.iscomplexobj(x) else x, (0.002, 0.998))
    assert found.shades == pytest.approx(
        (0.0 if np.iscomplexobj(x) else low, high), rel=1e-6, abs=1e-6
    )
    assert decided(x, shades=None).shades == found.shades
    for said, by in (({"asked": (0.0, 1.0)}, "--range"), ({"stated": True}, "range of /image")):
        found = decided(x, **said)
        assert found.shades == (0.0, 1.0) and found.note is None
        assert words in found.doubt and by in found.doubt


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """Tomography whose attenuation is per pixel, not of an image of 0 to 1."""
    path = tmp_path_factory.mktemp("faint") / "ct.h5"
    simulate("ct", path, "--size", "64", "--block", "32", "--views", "60")
    with h5py.File(path, "r+") as file:
        file["truth"][:] *= file["operator"].attrs["pixel"]
        file["operator"].attrs["pixel"] = 1.0
    return path


@pytest.mark.ranks
def test_an_attenuation_is_denoised_as_what_it_is(faint):
    """As with the range asked for, bit for bit, and better than its start."""
    output = faint.with_name("result.h5")
    done = mpirun(1, *ASYNCRED, "run", faint, "-o", output, *FLAGS, timeout=60)
    assert done.returncode == 0, done.stderr
    (note,) = [line for line in done.stdout.splitlines() if line.startswith(("note", "!!"))]
    assert "a small part of 0 to 1" in note and "taken from the start, " in note
    found = read_result(output)
    assert found.provenance["notes"] == [note.removeprefix("note: ")]
    assert snr(found.truth, found.image) > snr(found.truth, found.start) + 0.5
    with h5py.File(output) as file:
        low, high = file["entry/reconstruction/range"][0]
    assert high < 0.1
    again = faint.with_name("again.h5")
    asked = f"--range={float(low)!r}:{float(high)!r}"
    done = mpirun(1, *ASYNCRED, "run", faint, "-o", again, *FLAGS, asked, timeout=60)
    assert done.returncode == 0 and "note" not in done.stdout, done.stderr
    np.testing.assert_array_equal(read_result(again).image, found.image)


@pytest.mark.ranks
def test_doubts_of_a_run(faint, tmp_path):
    """Printed by one rank and kept in the result; with --strict the run is refused in one line."""
    path, output = tmp_path / "ct.h5", tmp_path / "result.h5"
    path.write_bytes(faint.read_bytes())
    with h5py.File(path, "r+") as file:
        file["operator"].attrs["center"] = 20.0
    command = ["run", path, "-o", output, *FLAGS, "--range", "0:1"]
    done = mpirun(2, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 0, done.stderr
    marked = [line for line in done.stdout.splitlines() if line.startswith("!!")]
    assert len(marked) == 2 and "is said to be at bin 20.0" in marked[0]
    assert read_result(output).provenance["notes"] == marked
    ends = several(
        2,
        ["run", path, "-o", tmp_path / "axis.h5", *FLAGS, "--strict"],
        ["run", faint, "-o", tmp_path / "range.h5", *FLAGS, "--range", "0:1", "--strict"],
    )
    for (code, said), words in zip(ends, ("to be at bin 20.0", "a small part of"), strict=True):
        (line,) = [line for line in said.splitlines() if line.startswith("asyncred: ")]
        assert code == 2 and words in line and "(--strict)" in line and "Traceback" not in said
    assert sorted(found.name for found in tmp_path.glob("*.h5")) == ["ct.h5", "result.h5"]


def test_doubts_of_a_check(faint, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(faint)])
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "note" in line]
    assert "a small part of 0 to 1" in note and "taken from the start;" in note
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(faint), "--range", "0:1", "--center", "20"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("!!")]
    assert ["at bin 20.0" in lines[0], "--range" in lines[1]] == [True, True]
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(faint), "--range", "0:1", "--strict"])
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and "a small part of 0 to 1" in err
