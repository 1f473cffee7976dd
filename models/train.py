"""Train a denoiser of recipes.py and write it as ONNX: `python models/train.py NAME --out FOLDER`.

How is in training.py. With --state FOLDER the training can be stopped at any moment; the same
command goes on from there, with more --steps also after its end.

--smoke does all of it in miniature: four networks, one with the penalty; export, checks, cards.
"""

import argparse
import hashlib
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from export import at_level, difference, read_weights, rescaled, state_curvature, write_onnx
from networks import Stack, Unrolled
from photographs import HELD_OUT, Crops, HeldOut, Photograph, fetch, listed, load
from potential import GradientStep
from recipes import RECIPES, Network, Recipe
from training import Training, noise_levels

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "asyncred"
SMALL = ("scikit-learn", "lomiri-wallpapers-20.04")
"""Packages with photographs of which few megabytes are fetched; one of PyPI, one of Debian."""


def checks(denoiser: Network, path: Path, crops: Crops, recipe: Recipe) -> str:
    """Raises SystemExit where ONNX Runtime's answer is not torch's; else the card, a TOML table."""
    y, sigma = crops.batch(3), noise_levels(recipe, 1)
    with torch.no_grad():
        if isinstance(denoiser, GradientStep):
            expected = denoiser.with_potential(y, sigma)
        else:
            expected = (denoiser(y, sigma),)
        found = difference(path, y, sigma, *expected)
    if found > 1e-5:
        raise SystemExit(f"{path}: differs by {found:.1e} from the network it was made from")
    content = path.read_bytes()
    card = {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(weight.numel() for weight in denoiser.parameters()),
        "difference_to_torch": float(f"{found:.1e}"),
        **vars(recipe),
        "network": recipe.describe_network(),
    }
    return "".join(f"{key} = {_toml(value)}\n" for key, value in card.items())


def _toml(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value).replace("'", '"')


def fits_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train a denoiser and write it as ONNX, with a card.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("name", nargs="?", choices=sorted(RECIPES), help="of the recipe")
    add("--out", type=Path, required=True, help="folder that gets NAME.onnx and NAME.toml")
    add("--data", type=Path, default=CACHE / "photographs", help="folder of the photographs")
    add("--checkpoints", type=Path, default=CACHE / "checkpoints", help="folder of weights")
    add("--state", type=Path, help="folder of NAME.state, to stop and go on; none where not given")
    add("--init", type=Path, help="checkpoint or ONNX file to start from")
    add("--steps", type=int, help="of the optimizer, other than the recipe's")
    add("--rate", type=float, help="largest learning rate, other than the recipe's")
    add("--minutes", type=float, default=math.inf, help="shorten the schedule to this time")
    add("--threads", type=int, default=2, help="of torch")
    add("--seed", type=int, default=0, help="of the weights, the crops and the noise")
    add("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="hidden layers")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--smoke", action="store_true", help="all of it in miniature; takes no name")
    options = parser.parse_args(arguments)
    if (options.name is None) != options.smoke:
        parser.error("a name, or --smoke")
    if options.smoke and options.out.resolve() == Path(__file__).resolve().parent:
        parser.error("--smoke does not write beside the shipped models: give another --out")
    return options


def make(name: str, recipe: Recipe, options: argparse.Namespace) -> None:
    """Train one model; write NAME.onnx and NAME.toml."""
    torch.manual_seed(options.seed)
    photographs = _listed(options)
    trained_on, held_out = (
        [load(p, options.data) for p in photographs if (p.package == HELD_OUT) is held]
        for held in (False, True)
    )
    crops = Crops(trained_on, recipe.side, np.random.default_rng(options.seed))
    denoiser = recipe.network()
    if start := _start(recipe, options):
        weights = read_weights(start)
        if not recipe.conditional:
            weights = at_level(weights, recipe.sigma[0] / 255)
            source = None if options.init else RECIPES.get(recipe.init)
            if source and not source.conditional:
                weights = rescaled(weights, recipe.sigma[0] / source.sigma[0])
        denoiser.load_state_dict(weights)
    wanted = options.dtype
    if wanted == "bfloat16" or (wanted == "auto" and fits_bfloat16()):
        denoiser.dtype = torch.bfloat16
    training = Training(denoiser, crops, recipe, HeldOut(held_out, recipe.watched))
    state = options.state and options.state / f"{name}.state"
    if state and state.exists():
        training.restore(state)
    denoiser = training.run(minutes=options.minutes, state=state)
    options.checkpoints.mkdir(parents=True, exist_ok=True)
    torch.save(denoiser.state_dict(), options.checkpoints / f"{name}.pt")
    path = options.out / f"{name}.onnx"
    write_onnx(denoiser, name, recipe, path)
    if isinstance(denoiser, GradientStep) and denoiser.conditional:
        state_curvature(path, recipe.watched)
    made = replace(recipe, steps=training.step)
    path.with_suffix(".toml").write_text(checks(denoiser, path, crops, made))
    print(f"wrote {path}")


def _listed(options: argparse.Namespace) -> list[Photograph]:
    """The photographs; those of the small packages for --smoke."""
    return [p for p in listed() if p.package in SMALL or not options.smoke]


def _start(recipe: Recipe, options: argparse.Namespace) -> Path | None:
    """The weights to start from: --init, the recipe's checkpoint, the shipped model, or none."""
    if options.init or not recipe.init:
        chosen: Path | None = options.init
        return chosen
    shipped = Path(__file__).with_name(f"{recipe.init}.onnx")
    for path in (options.checkpoints / f"{recipe.init}.pt", options.out / shipped.name, shipped):
        if path.exists():
            return path
    raise SystemExit(f"starts from {recipe.init}: train that first")


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    for package in {p.package for p in _listed(options)}:
        fetch(package, options.data)
    if options.state:
        options.state.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        options.checkpoints = options.out
        told = Recipe((0, 50), partial(Stack, 8, (1, 2, 1), conditional=True), 30, batch=4, side=32)
        make("smoke", told, options)
        fixed = replace(
            told, sigma=(5, 5), network=partial(Stack, 8, (1, 2, 1)), init="smoke", penalty=1.0
        )
        make("smoke-penalty", replace(fixed, steps=10), options)
        unrolled = partial(Unrolled, 2, 8, 2)
        make("smoke-unrolled", replace(told, network=unrolled, steps=10), options)
        gradient = partial(GradientStep, 8, 3, 2, conditional=True)
        make("smoke-potential", replace(told, network=gradient, steps=10), options)
        return
    recipe = RECIPES[options.name]
    chosen = {key: getattr(options, key) for key in ("steps", "rate")}
    recipe = replace(recipe, **{key: value for key, value in chosen.items() if value is not None})
    make(options.name, recipe, options)


if __name__ == "__main__":
    main()
