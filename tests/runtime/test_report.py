"""The words about a result."""

from pathlib import Path

import pytest

from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.report import say_image, summary
from results import PROVENANCE, example, images, record


def test_summary(tmp_path):
    text = summary(read_result(example(tmp_path / "result.h5")))
    before, after = (snr(images()["truth"], images()[name]) for name in ("start", "data"))
    for words in (
        "result.h5: 26x34, complete, stopped by budget",
        "async on 2 ranks",
        "fast-s5.onnx (halo 7)",
        "48 updates in 1.5 s (32.0/s), per block 0 to 15, mean delay 0.90, rest 25.0 %",
        f"SNR {before:.2f} dB before, {after:.2f} dB after",
    ):
        assert words in text


def test_summary_of_a_conditional_denoiser(tmp_path):
    parameters = {**PROVENANCE["parameters"], "sigma": 7.5}
    path = example(tmp_path / "r.h5", provenance={**PROVENANCE, "parameters": parameters})
    assert "fast-s5.onnx (sigma 7.5/255, halo 7)" in summary(read_result(path))


def test_summary_of_less(tmp_path):
    inexact = {**PROVENANCE, "halo_exact": False}
    path = example(tmp_path / "result.h5", truth=False, complete=False, provenance=inexact)
    text = summary(read_result(path))
    assert "NOT COMPLETE" in text and "INEXACT" in text and "SNR" not in text


@pytest.mark.parametrize("known", [True, False])
def test_end_of_one_image(known, capsys):
    ended = record()
    if not known:
        ended = record(history=[type(ended.history[0])(48, 1.5, 1e-2, 0.03, float("nan"), 0.9)])
    say_image(range(1), 0, ended, None)
    out = capsys.readouterr().out
    assert "stopped by budget after 48 updates in 1.5 s: 32.0 updates/s" in out
    assert "25.0 % of the time outside" in out and "wrote" not in out
    assert ("SNR 22.00 dB" in out) == known


def test_end_of_an_image_of_a_stack_that_was_put_down(capsys):
    say_image(range(4, 7), 1, record(stopped="signal"), Path("c.h5"))
    out = capsys.readouterr().out
    assert "image 5 (2 of 3): stopped by signal after 48 updates in 1.5 s" in out
    assert "wrote c.h5: --resume goes on from it" in out
