"""Runs with networks as people have them: what is said of tiles, refused, turned."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.tiles import EXACT
from asyncred.denoisers.values import Equivariant
from asyncred.runtime.report import summary
from commands import reconstruct_all, refused, simulate
from networks import gated, smoothing, u_net

SHORT = ("--epochs", "2")


@pytest.mark.ranks
def test_the_error_of_tiles_is_in_the_result(cs, tmp_path):
    pooled = gated(tmp_path / "gated.onnx", stride=2)
    wide = smoothing(tmp_path / "wide.onnx", layers=12)
    given = ("--denoiser-range", "0:1", *SHORT)
    measured, smallest, exact = reconstruct_all(
        cs,
        2,
        ("--denoiser", pooled, "--halo", "6", *given),
        ("--denoiser", wide, "--halo", "auto:1e-3", *given),
        ("--denoiser", wide, *given, "--equivariant"),
    )
    found = measured.provenance
    assert (found["halo"], found["align"], found["halo_exact"]) == (6, 2, False)
    assert EXACT < found["tile_error"] < 0.02
    assert f"INEXACT: tiles differ by up to {found['tile_error']:.1e}" in summary(measured)
    found = smallest.provenance
    assert 3 < found["halo"] < 12 and not found["halo_exact"] and 0 < found["tile_error"] <= 1e-3
    assert exact.provenance["halo"] == 12 and exact.provenance["halo_exact"]
    assert exact.provenance["parameters"]["equivariant"] is True


@pytest.mark.ranks
def test_two_channels_see_both_parts_of_a_complex_image(tmp_path):
    flags = ("--size", "32", "--block", "16", "--coils", "2")
    problem = simulate("mri", tmp_path / "problem.h5", *flags)
    one = smoothing(tmp_path / "one.onnx")
    two = smoothing(tmp_path / "two.onnx", shape=("n", 2, "h", "w"))
    given = ("--tau", "0.3", "--method", "bc", "--denoiser-range", "0:1", *SHORT)
    first, second = reconstruct_all(problem, 1, *(("--denoiser", d, *given) for d in (one, two)))
    assert np.iscomplexobj(second.image)
    np.testing.assert_allclose(second.image, first.image, atol=1e-5)


@pytest.mark.ranks
def test_refused_before_the_start(cs, tmp_path):
    pooled, strided = gated(tmp_path / "gated.onnx"), u_net(tmp_path / "u.onnx", levels=2)
    pair = smoothing(tmp_path / "pair.onnx", shape=("n", 2, "h", "w"))
    run = ("run", cs, "-o", tmp_path / "result.h5")
    lines = refused(
        2,
        (*run, "--denoiser", pooled),
        (*run, "--denoiser", strided, "--halo", "4", "--align", "6"),
        (*run, "--denoiser", pair),
        (*run, "--denoiser", pooled, "--halo", "auto:2"),
        (*run, "--denoiser", pooled, "--denoiser-inputs", "picture=x"),
    )
    words = (
        "gated.onnx: no bound on the receptive field (node GlobalAveragePool 'pooling'",
        "--align is 6, expected a multiple of 4",
        "pair.onnx: takes the real and the imaginary part",
        "--halo is 'auto:2', expected an integer >= 0, or auto:ERROR",
        "--denoiser-inputs is 'picture=x', expected image=NAME",
    )
    for line, expected in zip(lines, words, strict=True):
        assert expected in line, line
    assert not (tmp_path / "result.h5").exists()


def test_turns_are_undone_and_tiles_are_still_exact(tmp_path):
    """D of a kernel that looks to one side; its mean over all turns looks to all alike."""
    model = inspect_denoiser(u_net(tmp_path / "network.onnx", levels=2))
    D = OnnxDenoiser(model, threads=1)
    x = np.random.default_rng(0).random((45, 30), dtype=np.float32)
    turned = Equivariant(D, np.random.default_rng(7))
    again = Equivariant(D, np.random.default_rng(7))
    found = [turned(x) for _ in range(24)]
    assert all(np.array_equal(one, again(x)) for one in found)
    distinct = {one.tobytes() for one in found}
    assert 4 <= len(distinct) <= 8 and all(one.shape == x.shape for one in found)
    mean = np.mean(found, axis=0)
    assert np.abs(mean - D(x)).max() > 1e-3
    symmetric = OnnxDenoiser(inspect_denoiser(smoothing(tmp_path / "s.onnx")), threads=1)
    np.testing.assert_allclose(
        Equivariant(symmetric, np.random.default_rng(0))(x), symmetric(x), atol=1e-6
    )
