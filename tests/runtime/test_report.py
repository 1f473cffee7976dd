"""The words about a result."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from asyncred.files.result import read_result
from asyncred.history import Ending, Reason, Sample
from asyncred.metrics import snr
from asyncred.runtime.report import say_image, summary
from asyncred.runtime.verdict import verdict_line, verdict_of
from results import PROVENANCE, example, images, record


def test_summary(tmp_path):
    text = summary(read_result(example(tmp_path / "result.h5")))
    before, after = (snr(images()["truth"], images()[name]) for name in ("start", "data"))
    for words in (
        "result.h5: 26x34, complete, not converged, stopped by budget",
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


def setup_of(images, tol=0.0):
    """What ``say_image`` looks at of a run."""
    return SimpleNamespace(images=images, plan=SimpleNamespace(tol=tol))


@pytest.mark.parametrize("known", [True, False])
def test_end_of_one_image(known, capsys):
    ended = record()
    if not known:
        ended = record(history=[type(ended.history[0])(48, 1.5, 1e-2, 0.03, float("nan"), 0.9)])
    say_image(setup_of(range(1)), 0, ended, None)
    out = capsys.readouterr().out
    assert out.startswith(
        "not converged: all updates asked for are made; the last epoch changed x "
    )
    assert "48 updates, 3.0 epochs, in 1.5 s: 32.0 updates/s" in out
    assert "25.0 % of the time outside" in out and "wrote" not in out
    assert ("SNR 22.00 dB" in out) == known


def test_end_of_an_image_of_a_stack_that_was_put_down(capsys):
    say_image(setup_of(range(4, 7)), 1, record(stopped="signal"), Path("c.h5"))
    out = capsys.readouterr().out
    assert out.startswith("image 5 (2 of 3): not converged: it was asked to stop; ")
    assert "48 updates, 3.0 epochs, in 1.5 s, SNR 22.00 dB" in out
    assert "wrote c.h5: --resume goes on from it" in out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"verdict": "converged", "left": 2e-3},
            "converged: the last epoch changed x by 3.3e-02",
        ),
        ({"left": 2e-3}, "about 2e-03 from its limit (tolerance 1e-05); more --epochs bring it"),
        ({}, "its steps do not shrink: try --denoiser nonexpansive"),
        ({"stopped": "time"}, "not converged: the time limit is reached; "),
        ({"stopped": "signal"}, "--start RESULT.h5 goes on from here"),
        ({"verdict": "diverged"}, "diverged: x moves ever farther"),
        (
            {"verdict": "diverged", "best": record().history[1]},
            "of epoch 2 (SNR 21.00 dB); ",
        ),
    ],
)
def test_verdict(changes, words):
    assert words in verdict_line(record(**changes), 1e-5)


@pytest.mark.parametrize(
    ("reason", "step", "left", "tol", "verdict"),
    [
        (Reason.TOLERANCE, 1e-5, math.inf, 1e-4, "converged"),
        (Reason.DIVERGED, 1e-5, 1e-4, 1e-4, "diverged"),
        (Reason.BUDGET, 5e-5, 1e-3, 0.0, "converged"),
        (Reason.BUDGET, 5e-5, 5e-3, 0.0, "not converged"),
        (Reason.BUDGET, 5e-8, math.inf, 0.0, "converged"),
        (Reason.BUDGET, 5e-5, math.inf, 0.0, "not converged"),
        (Reason.BUDGET, 5e-4, 1e-3, 0.0, "not converged"),
        (Reason.TIME, 1e-6, 1e-6, 1e-4, "not converged"),
    ],
)
def test_verdict_in_a_word(reason, step, left, tol, verdict):
    last = Sample(10, 1.0, 1e-6, step, 20.0, 0.0)
    assert verdict_of(Ending(reason, left, None), last, tol) == verdict
