"""The commands that need no MPI: exit codes, one line for wrong input, nothing overwritten."""

import numpy as np
import onnx
import pytest

import h5py

import asyncred
from asyncred.commands.cli import main
from asyncred.files.problem import read_problem
from networks import conditional, constant, smoothing, u_net
from results import example

SMALL = ("--size", "24", "--block", "10")


def call(capsys, *arguments):
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code, *capsys.readouterr()


@pytest.fixture
def ok(capsys):
    """Standard output of a command that must succeed."""

    def succeed(*arguments):
        code, out, err = call(capsys, *arguments)
        assert (code, err) == (0, "")
        return out

    return succeed


@pytest.fixture
def refused(capsys):
    """The line on standard error of a command that must be refused."""

    def fail(*arguments):
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("asyncred: ")
        return err

    return fail


@pytest.fixture
def problem(tmp_path, ok):
    path = tmp_path / "problem.h5"
    ok("simulate", "cs", path, *SMALL)
    return path


def test_simulate(tmp_path, ok):
    path = tmp_path / "p.h5"
    out = ok("simulate", "cs", path, *SMALL, "--ratio", "0.5", "--noise-snr", "20", "--seed", "3")
    assert (
        out == f"wrote {path}: 24x24 image, blocks of 10x10, 50 measurements each, noise at 20 dB\n"
    )
    found = read_problem(path)
    assert (found.grid.shape, found.grid.block_shape, found.data.m, found.data.seed) == (
        (24, 24),
        (10, 10),
        50,
        3,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["p.h5"]


def test_simulate_from_a_file_with_matrices(tmp_path, ok):
    x = np.random.default_rng(0).random((12, 9), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    ok(
        "simulate",
        "cs",
        tmp_path / "p.h5",
        "--image",
        tmp_path / "x.npy",
        "--block",
        5,
        "--store-matrix",
    )
    found = read_problem(tmp_path / "p.h5")
    assert found.data.seed is None and len(found.grid) == 6
    np.testing.assert_array_equal(found.truth(np.s_[:12, :9], 0), x)


def test_check(problem, ok):
    out = ok("check", problem, "-n", "3")
    for words in (
        ": ok",
        "24x24, 9 blocks of 10x10",
        "truth known",
        "halo 7",
        "3 to 3 blocks each",
    ):
        assert words in out
    assert "warning: uneven; 1, 3, 9 ranks" in ok("check", problem, "-n", "4")


def test_check_of_one_of_several_images(problem, ok, refused):
    with h5py.File(problem, "r+") as file:
        y = file["measurements/y"][:]
        del file["measurements/y"], file["truth"]
        file["measurements/y"] = np.stack([y, y])
    assert "2 image(s), truth unknown" in ok("check", problem)
    assert "1 image(s), truth unknown" in ok("check", problem, "--images", "1")


def test_show(tmp_path, ok, refused):
    result = example(tmp_path / "result.h5")
    out = ok("show", result)
    assert "26x34, complete" in out and f"wrote {tmp_path / 'result.png'}" in out
    ok("show", result, "-o", tmp_path / "other.png")
    pictures = [(tmp_path / name).read_bytes() for name in ("result.png", "other.png")]
    assert pictures[0] == pictures[1] and pictures[0].startswith(b"\x89PNG")
    assert "result.png: exists; --overwrite replaces it" in refused("show", result)
    ok("show", result, "--overwrite")


def test_models(tmp_path, ok):
    assert "fast-s5: sigma 5/255, halo 7, " in ok("models")
    out = ok("models", "fast-s5")
    assert "returns the image" in out and "halo 7 pixels" in out and "tiles equal the whole" in out
    assert "0.00021 GFLOP per pixel" in out and "PSNR 34.17 dB, denoised 38.5" in out
    assert "at 9 points, by derivative of the graph; expansive there" in out
    assert "Lipschitz constant: at most" in out and ", the product of those of its layers" in out
    out = ok("models", smoothing(tmp_path / "own.onnx", noise=True))
    assert (
        "returns the noise; range 0 to 1; sigma unknown" in out and "tiles equal the whole" in out
    )
    assert "expansive there" not in out


def test_models_with_a_potential(tmp_path, ok, refused):
    network, D = smoothing(tmp_path / "N.onnx", centre=0.5), tmp_path / "D.onnx"
    assert "potential: none in the file" in ok("models", network)
    out = ok("models", network, "--potential", D)
    assert out == (
        f"wrote {D}: D(x) = x - grad g(x) with g(x) = |x - N(x)|^2 / 2, N from {network}; "
        "the second output is g, pixel by pixel\n"
    )
    out = ok("models", D)
    assert "returns the image" in out and "halo 4 pixels" in out and "tiles equal the whole" in out
    assert "potential g: its Hessian, I - J_D, has eigenvalues from " in out
    assert " at 9 points (derivative of the graph)" in out and "NOT the gradient" not in out
    assert "D.onnx: exists; --overwrite replaces it" in refused("models", network, "--potential", D)
    before = D.read_bytes()
    ok("models", network, "--potential", D, "--overwrite")
    assert D.read_bytes() == before
    line = refused("models", "fast-s5-int8", "--potential", D, "--overwrite")
    assert "fast-s5-int8.onnx: no potential can be written: node QuantizeLinear " in line
    assert D.read_bytes() == before and [*tmp_path.glob(".*")] == []
    assert "--potential is for one denoiser" in refused("models", "--potential", D)


def test_models_with_a_wrong_potential(tmp_path, ok):
    network, D = smoothing(tmp_path / "N.onnx", centre=0.5), tmp_path / "D.onnx"
    ok("models", network, "--potential", D)
    graph = onnx.load(D)
    graph.graph.node[-1].input[0] = "D.t0"  # R / 2 for R^2 / 2
    onnx.save(graph, D)
    assert ": NOT the gradient step of g" in ok("models", D)


def test_models_with_a_stated_bound(tmp_path, ok):
    right = smoothing(tmp_path / "right.onnx", metadata={"asyncred.lipschitz": "1"})
    assert ok("models", right).endswith("Lipschitz constant: at most 1, as its file states\n")
    wrong = smoothing(tmp_path / "wrong.onnx", metadata={"asyncred.lipschitz": "0.5"})
    assert "at most 0.5, as its file states, WRONGLY" in ok("models", wrong)


def test_version_and_help(ok):
    assert ok("--version") == f"{asyncred.__version__}\n"
    assert "simulate" in ok("--help") and "--tau" in ok("run", "--help")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["fly"], "no command 'fly'; known: run, demo, "),
        (["rnu"], "no command 'rnu'; did you mean run?"),
        (["run", "p.h5", "-o", "r.h5", "--tua", "1"], "no flag --tua; did you mean --tau?"),
        (["run", "p.h5", "-o", "r.h5", "--max", "9"], "no flag --max; did you mean --max-time?"),
        (["run", "p.h5", "-o", "r.h5", "--tau"], "--tau: expected one argument"),
        (["run", "p.h5", "-o", "r.h5", "--tau", "-1"], "--tau is '-1', expected a number >= 0"),
        (["run", "p.h5", "-o", "r.h5", "--method", "asyn"], "or gm; did you mean async?"),
        (["run", "p.h5", "-o", "r.h5", "--max-time", "1x"], "is '1x', expected a time > 0: sec"),
        (["run", "p.h5", "-o", "r.h5", "--range", "-1:-2"], "--range is '-1:-2', expected LOW:H"),
        (["run", "p.h5", "r.h5"], "'r.h5' is one word too many"),
        (["run"], "no problem and no output file given"),
        (["run", "p.h5", "--config", "no.toml"], "no.toml: cannot be read"),
        (["simulate", "bulr", "p.h5"], "no kind 'bulr'; did you mean blur?"),
        (["simulate", "cs", "p.h5", "--noise", "3"], "no flag --noise; did you mean --noise-snr?"),
        (["models", "fast-s55"], "did you mean fast-s5?"),
        (["models", "--halo", "3"], "--halo is for one denoiser, expected NAME|FILE"),
        (["demo", "--epoch", "3"], "no flag --epoch; did you mean --epochs? (asyncred demo --help"),
        (["show", "r.h5", "--imgae", "3"], "did you mean --image? (asyncred show --help)"),
        (["completion", "fish"], "no shell 'fish'; known: bash, zsh"),
        (["merge", "r.h5"], "required: PART.h5"),
        (["simulate"], "KIND"),
        (["simulate", "pet", "p.h5"], "pet"),
        (["simulate", "cs"], "OUT.h5"),
        (["simulate", "cs", "p.h5", "--block", "0"], "--block: is '0', expected an integer >= 1"),
        (["simulate", "cs", "p.h5", "--size", "x"], "--size: is 'x', expected"),
        (["simulate", "cs", "p.h5", "--size", "500"], "--size is 500, expected 1 to 480"),
        (["simulate", "cs", "p.h5", "--size", "24"], "--block is 80, expected at most 24"),
        (["simulate", "cs", "p.h5", "--ratio", "-1"], "--ratio: is '-1', expected a number > 0"),
        (["simulate", "cs", "p.h5", "--noise-snr", "nan"], "--noise-snr: is 'nan', expected"),
        (["simulate", "cs", "p.h5", "--noise-snr", "-101"], "--noise-snr: is '-101', expected"),
        (["simulate", "cs", "p.h5", "--seed", "-1"], "--seed: is '-1', expected an integer >= 0"),
        (["simulate", "cs", "p.h5", "--seed", "9" * 30], "below 2^31"),
        (["simulate", "cs", "p.h5", "--image", "no.png"], "no.png: no such file"),
        (["simulate", "cs", "no/p.h5", *SMALL], "no/p.h5: cannot be written"),
        (["simulate", "cs", ".", *SMALL], "is a folder"),
        (["simulate", "cs", "old", *SMALL], "old: exists; --overwrite replaces it"),
        (["check", "no.h5"], "no.h5: no such file"),
        (["check", "old"], "old: not an HDF5 file"),
        (["check", "old", "-n", "0"], "-n: is '0', expected an integer >= 1"),
        (["show", "no.h5"], "no.h5: no such file"),
        (["show", "old"], "old: not an HDF5 file"),
        (["models", "nothing"], "nothing: no such file, nor a shipped denoiser ("),
        (["models", "old"], "old: expected an ONNX model"),
    ],
)
def test_wrong_input_is_one_line(arguments, words, tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").write_text("old")
    assert words in refused(*arguments)
    assert (tmp_path / "old").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_values_that_begin_with_a_minus(tmp_path, ok):
    out = ok("models", smoothing(tmp_path / "own.onnx"), "--denoiser-range", "-1:1")
    assert "range -1 to 1" in out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, ok):
    script = ok("completion", shell)
    for word in ("simulate", "--denoiser-range", "proximal"):
        assert word in script


def test_wrong_problems(problem, tmp_path, refused):
    assert "9 blocks for 10 ranks" in refused("check", problem, "-n", "10")
    assert "no denoiser" in refused(
        "check", problem, "--denoiser", constant(tmp_path / "c.onnx", 0)
    )
    assert "/entry/data/data is missing, expected a result" in refused("show", problem)
    with h5py.File(problem, "r+") as file:
        file["measurements/y"][8, 2] = np.nan
    assert "/measurements/y: block 8 holds 1 NaN" in refused("check", problem)


def test_strides_need_not_divide_the_image(tmp_path, ok):
    problem, network = tmp_path / "p.h5", u_net(tmp_path / "u.onnx", levels=2)
    ok("simulate", "cs", problem, "--size", "23", "--block", "11")
    assert "windows up to 20x20" in ok("check", problem, "--denoiser", network)


def test_noise_level(problem, tmp_path, ok, refused):
    stated = {"asyncred.sigma": "0.04", "asyncred.sigma_range": "0.0039215,0.1960784"}
    network = conditional(tmp_path / "network.onnx", metadata=stated)
    assert "sigma 10.2/255, an input, 1 to 50" in ok("models", network)
    out = ok("models", network, "--sigma", "12.5")
    assert "sigma 12.5/255, an input" in out and "noise of 12.5/255: PSNR 26.2" in out
    assert "sigma 3/255" in ok("check", problem, "--denoiser", network, "--sigma", "3")
    for command in (["models", network], ["check", problem, "--denoiser", network]):
        line = refused(*command, "--sigma", "60")
        assert f"{network}: --sigma is 60, expected 1 to 50" in line
        assert "--sigma: is '0', expected a number > 0" in refused(*command, "--sigma", "0")
    assert "--sigma is 3, expected none" in refused("models", "fast-s5", "--sigma", "3")
    assert "--sigma is for one denoiser" in refused("models", "--sigma", "3")


def test_simulate_again(problem, ok, refused):
    before = problem.read_bytes()
    refused("simulate", "cs", problem, *SMALL, "--seed", "1")
    assert problem.read_bytes() == before
    ok("simulate", "cs", problem, *SMALL, "--seed", "1", "--overwrite")
    assert read_problem(problem).data.seed == 1


def test_show_never_replaces_its_result(tmp_path, refused):
    result = example(tmp_path / "result.h5")
    before = result.read_bytes()
    refused("show", result, "-o", result)
    line = refused("show", result, "-o", result, "--overwrite")
    assert "is the result file, expected another name" in line
    assert result.read_bytes() == before
    assert "cannot be written" in refused("show", result, "-o", tmp_path / "no" / "p.png")
