"""Halos and alignments that no graph tells: measured, and the error of tiles with them said."""

from dataclasses import replace

import numpy as np
import pytest
from onnx.helper import make_node

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.denoisers.tiles import EXACT, tile_error, try_windows, within
from asyncred.grid import BlockGrid
from networks import gated, save, smoothing, u_net

GRID = BlockGrid((75, 98), (24, 20))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_alignment_is_found_by_shifts(stride, tmp_path):
    path = gated(tmp_path / "network.onnx", stride=stride)
    with pytest.raises(ValueError, match=r"'pooling' .*--halo N .*--halo auto:1e-3"):
        inspect_denoiser(path)
    model = inspect_denoiser(path, halo=8, value_range=(0, 1))
    assert model.field == ReceptiveField(8, stride) and not model.halo_known
    error = tile_error(model, GRID)
    assert EXACT < error < 0.02
    if stride > 1:
        with pytest.raises(ValueError, match="fails on"):
            tile_error(replace(model, field=ReceptiveField(8, 1)), GRID)


def test_a_smaller_halo_keeps_the_stride_of_the_graph(tmp_path):
    path = u_net(tmp_path / "network.onnx", levels=2)
    model = inspect_denoiser(path, halo=3)
    assert model.field == ReceptiveField(3, 4) and not model.halo_known
    with pytest.raises(ValueError, match=r"--align is 6, expected a multiple of 4"):
        inspect_denoiser(path, halo=3, align=6)
    assert inspect_denoiser(path, halo=8).halo_known


def test_smallest_halo_within_an_error(tmp_path):
    """Twelve smoothings look 12 pixels far, but hardly beyond a few."""
    model = inspect_denoiser(smoothing(tmp_path / "network.onnx", layers=12), halo="auto:1e-3")
    assert model.field.halo == 12
    found = within(model, 1e-3, GRID)
    assert 3 < found.field.halo < 11 and not found.halo_known
    assert tile_error(found, GRID) <= 1e-3
    less = replace(found, field=ReceptiveField(found.field.halo - 1, 1))
    assert tile_error(less, GRID) > 1e-3
    with pytest.raises(ValueError, match=r"no halo up to 128 pixels .* within 1e-07"):
        path, grid = gated(tmp_path / "gated.onnx"), BlockGrid((300, 300), (20, 20))
        within(inspect_denoiser(path, halo="auto:1e-7", value_range=(0, 1)), 1e-7, grid)


def test_windows_that_do_not_run_are_found_before(tmp_path):
    """Reflecting needs more pixels than a window at the corner has."""
    weights = {"pads": np.array([0, 0, 20, 20, 0, 0, 20, 20]), "far": np.zeros((1, 1, 41, 41))}
    weights["far"][..., 20, 20] = 0.5
    weights["far"][..., 19, 20] = 0.5
    weights["far"] = weights["far"].astype(np.float32)
    nodes = [make_node("Pad", ["x", "pads"], ["p"], mode="reflect")]
    nodes += [make_node("Conv", ["p", "far"], ["y"])]
    model = inspect_denoiser(save(tmp_path / "network.onnx", nodes, weights), halo=1)
    assert OnnxDenoiser(model, threads=1)(np.zeros((64, 64), np.float32)).shape == (64, 64)
    with pytest.raises(ValueError, match=r"network\.onnx: fails on \(\d+, \d+\) pixels"):
        try_windows(model, BlockGrid((64, 64), (8, 8)))
