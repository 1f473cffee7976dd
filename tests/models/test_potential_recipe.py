"""Denoisers with a potential: D is x - grad g, also as ONNX; training goes on bit for bit."""

import importlib
import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture
def models(monkeypatch):
    """The modules of models/ by name; one of them has the name of one of tests/."""
    pytest.importorskip("torch", reason="pip install '.[train]'")
    monkeypatch.syspath_prepend(MODELS)
    spec = importlib.util.spec_from_file_location("networks", MODELS / "networks.py")
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    monkeypatch.setitem(sys.modules, "networks", networks)
    return importlib.import_module


def picture(shape, *, seed=0):
    import torch

    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def gradient_step(models, *, conditional):
    """A D of six channels that is not near the identity."""
    import torch

    torch.manual_seed(1)
    D = models("potential").GradientStep(6, 4, 3, conditional=conditional)
    with torch.no_grad():
        for convolution in D.convolutions:
            convolution.bias.uniform_(-0.1, 0.1)
        D.convolutions[-1].weight.mul_(4)
    return D


@pytest.mark.parametrize("conditional", [False, True])
def test_denoiser_is_the_gradient_step_of_its_potential(models, conditional):
    import torch

    D = gradient_step(models, conditional=conditional).double()
    x = picture((2, 1, 9, 11)).double().requires_grad_(True)
    sigma = torch.tensor([0.02, 0.2]).double().view(2, 1, 1, 1) if conditional else None
    clean, potential = D.with_potential(x, sigma)
    (gradient,) = torch.autograd.grad(potential.sum(), x)
    assert gradient.abs().max() > 0.01
    torch.testing.assert_close(clean, x - gradient, rtol=0, atol=1e-13)


@pytest.mark.parametrize("conditional", [False, True])
def test_file_has_the_denoiser_and_each_pixels_share_of_the_potential(
    models, tmp_path, conditional
):
    import onnxruntime
    import torch

    D = gradient_step(models, conditional=conditional)
    low = 0 if conditional else 25
    recipe = models("recipes").Recipe((low, 25), partial(lambda: D), 1)
    path = tmp_path / "potential.onnx"
    export = models("export")
    export.write_onnx(D, "potential", recipe, path)
    y, sigma = picture((1, 1, 24, 17)), torch.full((1, 1, 1, 1), 0.1)
    with torch.no_grad():
        clean, potential = D.with_potential(y, sigma)
    assert export.difference(path, y, sigma, clean, potential) <= 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"x": y.numpy()[:, :, :16], "sigma": np.float32([0.1])}
    wanted = {value.name: inputs[value.name] for value in session.get_inputs()}
    share = session.run(["potential"], wanted)[0][:, :, :12]  # four layers: a halo of 4
    np.testing.assert_allclose(share, potential[:, :, :12], rtol=0, atol=1e-5)


def start(models, kind, *, seed):
    """A training of 12 steps, of a network with a potential or of one with the penalty."""
    import torch

    conditional = kind == "potential"
    recipes = models("recipes")
    network = {
        "potential": partial(recipes.GradientStep, 8, 4, 2, conditional=True),
        "penalty": partial(recipes.Stack, 8, (1, 2, 1)),
    }[kind]
    recipe = recipes.Recipe(
        (0 if conditional else 5, 5),
        network,
        steps=12,
        batch=2,
        side=16,
        penalty=0.0 if conditional else 1.0,
    )
    torch.manual_seed(seed)
    photographs = models("photographs")
    crops = photographs.Crops([picture((30, 40))], 16, np.random.default_rng(seed))
    held_out = photographs.HeldOut([picture((20, 20), seed=1)], recipe.watched)
    return models("training").Training(network(), crops, recipe, held_out), crops


@pytest.mark.parametrize("kind", ["potential", "penalty"])
def test_training_that_was_killed_goes_on_bit_for_bit(models, tmp_path, monkeypatch, kind):
    import torch

    monkeypatch.setattr(models("training"), "SAVE", 4)
    monkeypatch.setattr(models("training"), "WATCH", 4)
    whole, _ = start(models, kind, seed=0)
    kept = whole.run()
    path = tmp_path / "training.state"
    killed, crops = start(models, kind, seed=0)
    batch = crops.batch

    def die(n):
        if killed.step == 6:
            raise KeyboardInterrupt
        return batch(n)

    monkeypatch.setattr(crops, "batch", die)
    with pytest.raises(KeyboardInterrupt):
        killed.run(state=path)
    rest, _ = start(models, kind, seed=9)
    rest.restore(path)
    assert rest.step == 4
    again = rest.run(state=path)
    for one, other in ((whole.denoiser, rest.denoiser), (whole.mean, rest.mean), (kept, again)):
        for name, weight in one.state_dict().items():
            assert torch.equal(weight, other.state_dict()[name]), name
