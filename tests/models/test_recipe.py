"""The recipe of the trained models in miniature, and the card against the files."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asyncred.denoisers.appraise import gflop_per_pixel
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_names, model_path
from asyncred.denoisers.tiles import EXACT, tiling_error
from asyncred.runtime.config.load import tomllib

MODELS = Path(__file__).resolve().parents[2] / "models"
PHOTOGRAPHS = "lomiri-wallpapers-20.04"
CARD = (MODELS / "README.md").read_text(encoding="utf-8")


def missing():
    """Why the recipe cannot run here, if it cannot."""
    if importlib.util.find_spec("torch") is None:
        return "no torch: pip install '.[train]'"
    if not shutil.which("apt-cache"):
        return "no apt-get, which fetches photographs"
    known = subprocess.run(["apt-cache", "show", PHOTOGRAPHS], capture_output=True, check=False)
    return f"apt-get knows no {PHOTOGRAPHS}: apt-get update?" if known.returncode else ""


def test_recipe_in_miniature(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    flags = ["--smoke", "--threads", "1", "--out", tmp_path, "--data", tmp_path / "photographs"]
    subprocess.run([sys.executable, MODELS / "train.py", *flags], check=True, timeout=120)
    networks = {path.stem: path for path in tmp_path.glob("*.onnx")}
    assert set(networks) == {"smoke", "smoke-penalty", "smoke-unrolled", "smoke-potential"}
    for path in networks.values():
        card = tomllib.loads(path.with_suffix(".toml").read_text())
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert card["difference_to_torch"] <= 1e-5


def test_card_names_every_model():
    named = re.findall(r"^\| ([\w-]+) \|.*\| `[0-9a-f]{64}` \|$", CARD, re.MULTILINE)
    assert sorted(named) == model_names()


@pytest.mark.parametrize("name", model_names())
def test_card_tells_what_the_file_is(name):
    path = model_path(name)
    model, content = inspect_denoiser(path), path.read_bytes()
    told = re.search(rf"^\| {name} \|(.*)\| `(\w{{64}})` \|$", CARD, re.MULTILINE)
    _, halo, parameters, cost, size = (cell.strip() for cell in told[1].split("|"))
    assert told[2] == hashlib.sha256(content).hexdigest()
    assert int(halo) == model.field.halo
    assert int(parameters.replace(",", "")) == model.parameters
    assert int(cost) == round(1e6 * gflop_per_pixel(model))
    assert int(size.replace(",", "")) == len(content)


@pytest.mark.parametrize("name", model_names())
def test_tiles_of_a_shipped_model_equal_the_whole(name):
    assert tiling_error(OnnxDenoiser(inspect_denoiser(model_path(name)), threads=1)) <= EXACT
