"""Data Exchange files as they are: read by slice, corrected, run; what is wrong is named."""

import re

import numpy as np
import pytest
from PIL import Image as pillow

import h5py

from asyncred.commands.center_picture import LABEL, about
from asyncred.commands.cli import main
from asyncred.errors import BadImage
from asyncred.files.problem import Asked, read_problem
from asyncred.files.problem.counts import PROBED
from asyncred.files.problem.flaws import PASSES
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED
from launch import mpirun
from results import example
from scans import (
    HALF_TURN,
    SIDE,
    SLICES,
    VIEWS,
    object_slices,
    projected,
    scan,
    write_data_exchange,
)

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--epochs", "40", "--block", "32", "--threads", "1"]
CENTER = (SIDE - 1) / 2 + 4.6


@pytest.fixture(scope="module")
def counted():
    return scan(offset=4.6)


@pytest.fixture
def path(tmp_path, counted):
    return write_data_exchange(tmp_path / "scan.h5", counted)


def change(path, function):
    with h5py.File(path, "r+") as file:
        function(file["exchange"])
    return path


def remove(*names):
    def function(exchange):
        for name in names:
            del exchange[name]

    return function


def put(name, values, **attributes):
    def function(exchange):
        if name in exchange:
            del exchange[name]
        exchange[name] = values
        exchange[name].attrs.update(attributes)

    return function


def test_counts_become_line_integrals(path, counted):
    problem = read_problem(path)
    data = problem.data
    assert (problem.kind, problem.has_truth, problem.shades) == ("data_exchange", False, None)
    assert problem.grid.shape == (SIDE, SIDE) and problem.images == range(SLICES)
    np.testing.assert_allclose(data.angles, np.radians(HALF_TURN))
    exact = projected(counted.truth, HALF_TURN, CENTER)
    for k in problem.images:
        y = data.of(k).y(range(VIEWS))
        assert y.shape == (VIEWS, SIDE) and y.dtype == np.float32
        scatter = np.abs(y - exact[k]) * np.sqrt(2800 * np.exp(-exact[k]))  # of the dimmest beam
        assert scatter.mean() < 1.2
        np.testing.assert_array_equal(data.of(k).y(range(7, 30)), y[7:30])
        assert data.of(k).y(range(5, 5)).shape == (0, SIDE)  # of a rank too many
        data.of(k).check()


def test_notes_say_where_the_axis_was_found(path):
    data = read_problem(path).data
    assert abs(data.center - CENTER) < 0.1
    axis = f"rotation axis at bin {data.center:.2f} +- 0.02, from 60 views over 177 degrees"
    assert data.notes == (axis,)


def test_the_axis_that_is_asked_for_is_taken(path):
    data = read_problem(path, Asked(center=30.25)).data
    assert data.center == 30.25
    assert data.notes == ("rotation axis at bin 30.25, as asked",)
    data = read_problem(path, Asked(center="middle")).data
    assert data.center == 31.5
    assert data.notes == ("rotation axis at bin 31.50, the middle of the detector, as asked",)


def test_the_size_that_is_asked_for(path):
    data = read_problem(path, Asked(size=80)).data
    assert data.grid.shape == (80, 80)
    assert data.notes[1] == "image of 80x80 pixels about the axis, for 64 bins (--size)"


def test_rows_outside_of_the_beam_do_not_move_the_axis(tmp_path, counted):
    data, white = counted.data.copy(), counted.white.copy()
    rng = np.random.default_rng(4)
    for frames in (data, white):
        frames[:, 2] = rng.poisson(110, frames[:, 2].shape)
    half_lit = type(counted)(counted.truth, counted.angles, data, white, counted.dark)
    found = read_problem(write_data_exchange(tmp_path / "scan.h5", half_lit)).data
    assert abs(found.center - CENTER) < 0.1
    assert found.notes[1].startswith(
        "slice 2 left out: /exchange/data: row 2 sees no light, outside"
    )
    with pytest.raises(BadImage, match="row 2 sees no light, outside of the beam or empty: white"):
        found.of(2).check()


def test_further_slices_are_looked_at_where_the_first_tell_nothing(tmp_path):
    dark = scan(truth=np.repeat(object_slices(), 3, axis=0))
    dark.data[:, [0, 4, 8]] = dark.white[0, [0, 4, 8]]
    found = read_problem(write_data_exchange(tmp_path / "scan.h5", dark)).data
    assert abs(found.center - CENTER) < 0.1 and "slices 0, 4, 8 left out" in found.notes[1]


def test_half_acquisition_makes_the_image_as_wide_as_the_object(tmp_path):
    wide = object_slices(side=100, slices=2, radius=0.42)
    angles = np.arange(120) * 3.0
    whole = scan(offset=0, angles=angles, truth=wide)
    parts = (np.ascontiguousarray(part[..., 36:]) for part in (whole.data, whole.white, whole.dark))
    path = write_data_exchange(tmp_path / "scan.h5", type(whole)(wide, angles, *parts))
    data = read_problem(path).data
    assert abs(data.center - 13.5) < 0.2 and data.grid.shape == (100, 100)
    assert data.notes[1].startswith("image of 100x100 pixels about the axis, for 64 bins")
    assert data.doubts(None) == ()
    levels = [snr(wide[0], about(data, data.center + off)) for off in (-2, 0, 2)]
    assert levels[1] > 11 and levels[1] > max(levels[0], levels[2]) + 3, levels


def test_a_rank_reads_its_views_of_one_row_once(path, monkeypatch):
    data = read_problem(path).data.of(1)
    reads = []
    getitem = h5py.Dataset.__getitem__

    def recorded(self, where):
        found = getitem(self, where)
        reads.append((self.name, np.shape(found)))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", recorded)
    for _ in range(3):
        data.y(range(20, 50))
        data.filtered(range(20, 50))
    shapes = [shape for name, shape in reads if name == "/exchange/data"]
    assert shapes[0] == (30 + 2 * PASSES, 1, SIDE)
    assert all(shape[1:] == (1, SIDE) for shape in shapes)
    assert sum(shape[0] for shape in shapes) <= 30 + 2 * PASSES + 2 * PROBED
    assert [shape for name, shape in reads if name == "/exchange/data_white"] == [(12, 1, SIDE)]


def test_filtered_views_of_two_ranks_are_those_of_one(path):
    data = read_problem(path).data
    parts = [data.filtered(range(25)), data.filtered(range(25, VIEWS))]
    np.testing.assert_array_equal(np.concatenate(parts), data.filtered(range(VIEWS)))


def test_dead_columns_and_zingers_are_noted(tmp_path, counted):
    data, white = counted.data.copy(), counted.white.copy()
    data[:, 1, 20] = 7  # stuck
    white[:, 2, 33] = counted.dark[:, 2, 33]  # sees no light
    data[10, 0, 40] = data[31, 2, 12] = 60000
    broken = type(counted)(counted.truth, counted.angles, data, white, counted.dark)
    found = read_problem(write_data_exchange(tmp_path / "scan.h5", broken)).data
    assert found.notes[1:] == (
        "slices 0, 1, 2: zingers (replaced by the median about them; --zingers none keeps them): 2",
        "slices 0, 1, 2: dead columns (no light, or stuck; bridged from their neighbours): 2",
    )
    exact = projected(counted.truth, HALF_TURN, CENTER)
    for row, column in ((1, 20), (2, 33)):
        y = found.of(row).y(range(VIEWS))
        np.testing.assert_allclose(y[:, column], y[:, [column - 1, column + 1]].mean(1), rtol=1e-5)
        assert np.abs(y - exact[row])[:, column].mean() < 0.1


def test_starved_rays_are_finite(tmp_path, counted):
    data = counted.data.copy()
    data[4, 1, 30:33] = 0
    starved = type(counted)(counted.truth, counted.angles, data, counted.white, counted.dark)
    found = read_problem(write_data_exchange(tmp_path / "scan.h5", starved)).data
    light = counted.white[:, 1].mean(0) - counted.dark[:, 1].mean(0)
    expected = np.log(light[30:33])
    np.testing.assert_allclose(found.of(1).y(range(4, 5))[0, 30:33], expected, rtol=1e-5)
    assert found.notes[-1] == "slices 0, 1, 2: transmissions below one count (raised to it): 3"


def test_radians_and_no_angles_at_all(path):
    in_radians = put("theta", np.radians(HALF_TURN), units="radians")
    np.testing.assert_allclose(
        read_problem(change(path, in_radians)).data.angles, np.radians(HALF_TURN)
    )
    change(path, put("theta", HALF_TURN))  # no units: degrees
    np.testing.assert_allclose(read_problem(path).data.angles, np.radians(HALF_TURN))
    data = read_problem(change(path, remove("theta"))).data
    np.testing.assert_allclose(data.angles, np.linspace(0, np.pi, VIEWS))
    assert data.notes[1] == (
        "no /exchange/theta: 60 views taken to go evenly from 0 to 180 degrees"
    )


def test_transmissions_without_fields(path, counted):
    exact = projected(counted.truth, HALF_TURN, CENTER)
    transmissions = np.exp(-exact).swapaxes(0, 1)
    change(path, remove("data_white", "data_dark"))
    data = read_problem(change(path, put("data", transmissions))).data
    np.testing.assert_allclose(data.y(range(VIEWS)), exact[0], atol=1e-4)
    assert data.notes[1] == "no /exchange/data_white: /exchange/data taken to be transmissions"


def test_no_dark_field(path):
    data = read_problem(change(path, remove("data_dark"))).data
    assert data.notes[1] == "no /exchange/data_dark: taken to be 0"


def test_an_axis_that_cannot_be_found_is_said(tmp_path, capsys):
    angles = np.arange(30) * 3.0
    path = write_data_exchange(tmp_path / "scan.h5", scan(angles=angles))
    with pytest.raises(ValueError, match="axis was not found: 30 views over 87 degrees") as error:
        read_problem(path)
    assert str(error.value).endswith(
        "--center BIN says which bin, from 0, sees it, --center middle takes that in the middle of "
        "the 64"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(path)])
    assert capsys.readouterr().err.count("\n") == 1


def nan(exchange):
    data = exchange["data"][:].astype(np.float32)
    data[5, 1, 9] = np.nan
    put("data", data)(exchange)


WRONG = {
    "flat data": (put("data", np.zeros((4, 5), "u2")), "/exchange/data is uint16 [4, 5], expected"),
    "a group": (
        lambda exchange: (exchange.pop("data"), exchange.create_group("data")),
        "/exchange/data is a group, expected a dataset",
    ),
    "text": (put("data", np.zeros((2, 2, 2), "S3")), "/exchange/data is |S3 [2, 2, 2], expected n"),
    "other axes": (
        put("data", np.ones((3, 4, 5), "u2"), axes="y:theta:x"),
        "/exchange/data axes is 'y:theta:x', expected 'theta:y:x'",
    ),
    "few angles": (
        put("theta", HALF_TURN[1:], units="deg"),
        "/exchange/theta is float64 [59], expected numbers [60], one for each frame",
    ),
    "an endless angle": (
        put("theta", np.where(HALF_TURN == 9, np.inf, HALF_TURN)),
        "/exchange/theta is NaN or Inf in frames 3, expected finite numbers [60] in all",
    ),
    "other units": (
        put("theta", HALF_TURN, units="turns"),
        "/exchange/theta units is 'turns', expected 'deg' or 'rad'",
    ),
    "radians without units": (
        put("theta", np.radians(HALF_TURN)),
        "/exchange/theta spans 3.089 and has no attribute units, expected 'deg' or 'rad'",
    ),
    "other white": (
        put("data_white", np.ones((2, SLICES, 60), "u2")),
        f"/exchange/data_white is [2, {SLICES}, 60], expected [k, {SLICES}, {SIDE}] (rows and",
    ),
    "other dark": (
        put("data_dark", np.ones((SLICES, SIDE), "u2")),
        f"/exchange/data_dark is uint16 [{SLICES}, {SIDE}], expected numbers [frames, rows,",
    ),
    "no white": (
        remove("data_white"),
        "no white field, and row 0 of /exchange/data is up to",
    ),
    "no light": (
        lambda exchange: put("data_white", exchange["data_dark"][:])(exchange),
        "/exchange/data: row 0 sees no light, outside of the beam or empty: white fields are 0",
    ),
    "infinite white": (
        put("data_white", np.full((2, SLICES, SIDE), np.inf, "f4")),
        f"/exchange/data_white: row 0 holds {2 * SIDE} NaN or Inf",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name, path):
    function, message = WRONG[name]
    change(path, function)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        read_problem(path)
    assert "\n" not in str(error.value)


def test_a_slice_with_nan_is_left_out(path):
    found = read_problem(change(path, nan)).data
    message = "/exchange/data: row 1 holds 1 NaN or Inf, expected finite numbers"
    assert found.notes[1] == f"slice 1 left out: {message}"
    with pytest.raises(BadImage, match=re.escape(message)):
        found.of(1).check()
    found.of(2).check()


def test_line_integrals_are_not_taken_for_transmissions(path):
    y = projected(object_slices(), HALF_TURN, CENTER).swapaxes(0, 1) / 3  # up to about 1
    change(path, remove("data_white", "data_dark"))
    with pytest.raises(ValueError, match="expected a white field, or transmissions"):
        read_problem(change(path, put("data", y)))


def test_neither_format(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["image"] = np.zeros((4, 4))
    with pytest.raises(ValueError, match="expected 'asyncred-problem', or a file of the format "):
        read_problem(path)


def reconstruct(ranks, path, *flags):
    output = path.with_name(f"result{ranks}.h5")
    command = [*ASYNCRED, "run", path, "-o", output, *FLAGS, *flags]
    done = mpirun(ranks, *command, timeout=120)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


@pytest.mark.ranks
@pytest.mark.parametrize("ranks", [1, 2])
def test_run(ranks, path, counted, capsys):
    output, said = reconstruct(ranks, path)
    for k in range(SLICES):
        found = read_result(output, k)
        assert found.completed.all() and found.provenance["kind"] == "data_exchange"
        note = found.provenance["notes"][0]
        assert note.startswith("rotation axis at bin 36.") and f"note: {note}\n" in said
        before, after = snr(counted.truth[k], found.start), snr(counted.truth[k], found.image)
        others = [snr(counted.truth[j], found.image) for j in range(SLICES) if j != k]
        assert before > 13 and after > 20 and after > max(others) + 2, (before, after, others)
    with pytest.raises(SystemExit, match="0"):
        main(["show", str(output)])
    assert note in capsys.readouterr().out
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.ranks
def test_run_of_one_image_about_an_axis_of_its_own(path, counted):
    output, said = reconstruct(2, path, "--images", "1", "--center", "31.5")
    found = read_result(output)
    assert "note: rotation axis at bin 31.50, as asked\n" in said
    with h5py.File(output) as file:
        assert file["entry/images"][:].tolist() == [1]
    assert snr(counted.truth[1], found.image) < 13  # 4.6 bins off


def test_check(path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["check", str(path), "-n", "2", "--images", "1:3"])
    out = capsys.readouterr().out
    assert "data_exchange, 60 views of 64 bins, 2 image(s), truth unknown" in out
    assert "note: rotation axis at bin 36." in out


def test_the_picture_of_several_axes(path, capsys):
    picture = path.with_name("axis.png")
    command = ["check", str(path), "--denoiser", "tv", "--sigma", "5", "--images", "1"]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--center-picture", str(picture)])
    assert f"wrote {picture}: image 1 with the axis at bins 32." in capsys.readouterr().out
    with pillow.open(picture) as strip:
        assert strip.size == (9 * (SIDE + 2) - 2, SIDE + LABEL)
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--center-picture", str(picture)])
    assert "axis.png: exists; --overwrite replaces it" in capsys.readouterr().err


def test_the_right_axis_is_the_sharpest(path, counted):
    data = read_problem(path).data
    levels = [snr(counted.truth[0], about(data, data.center + off)) for off in (-4, -1, 0, 1, 4)]
    assert np.argmax(levels) == 2 and min(levels) < levels[2] - 5


def test_a_result_is_no_measurement(tmp_path):
    path = example(tmp_path / "result.h5")
    with pytest.raises(ValueError, match="is a result of asyncred run, expected a problem"):
        read_problem(path)
