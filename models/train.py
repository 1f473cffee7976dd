"""Train a denoiser of recipes.py and write it as ONNX: `python models/train.py NAME --out FOLDER`.

    x        clean image; y = x + sigma e, e white Gaussian; D, J_D: see networks.py

    minimise  mean |D(y) - x|^2 / sigma^2  +  penalty sum_z max(|J_D(z)|_2 - (1 - margin), 0)^2 / n

The second term, of Pesquet et al., "Learning maximally monotone operators for image recovery"
(2021), makes D nonexpansive at the points z that it sees: x, D(y), and on the line from them along
the noise y - x. It is there where the recipe asks for it (none that ships does: README.md says what
it costs), over the hardest points found so far too (``HardPoints``). Muon (Jordan et al. 2024: each
step orthogonalized) for the hidden layers, Adam for the others, with a cosine decay; what is kept
is the running mean of the weights.

--smoke does all of it in miniature: three networks, one with the penalty; export, checks, cards.
"""

import argparse
import copy
import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export import at_level, difference, read_weights, rescaled, write_onnx
from networks import Network, Stack, Unrolled, power_iteration, unit
from photographs import Crops, Photograph, fetch, listed, load
from recipes import RECIPES, Recipe

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "asyncred"
EMA = 0.999
"""Decay of the running mean of the weights."""
SMALL = ("scikit-learn", "lomiri-wallpapers-20.04")
"""Packages with photographs of which few megabytes are fetched; one of PyPI, one of Debian."""
FLOOR = (5 / 255) ** 2
"""Keeps images with next to no noise from having all the weight."""


class HardPoints:
    """The points where |J_D|_2 was largest, with their singular vectors to start again from."""

    def __init__(self, size: int, side: int) -> None:
        self._size = size
        self._z = torch.zeros(0, 1, side, side)
        self._u, self._sigma = self._z.clone(), torch.zeros(0, 1, 1, 1)
        self._norm = torch.zeros(0)
        self._picked = torch.zeros(0, dtype=torch.int64)

    def draw(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """At most n points, their noise levels and vectors: half from the hardest 32."""
        hardest = torch.topk(self._norm, min(len(self._norm), 32)).indices
        some = hardest[torch.randperm(len(hardest))[: n // 2]]
        others = torch.randperm(len(self._norm))[: n - len(some)]
        self._picked = torch.cat([some, others]).unique()
        return self._z[self._picked], self._sigma[self._picked], self._u[self._picked]

    def put_back(self, z: Tensor, sigma: Tensor, u: Tensor, norm: Tensor) -> None:
        """Store new points, and before them what the drawn ones have become; keep the hardest."""
        old = len(self._picked)
        self._norm[self._picked], self._u[self._picked] = norm[:old], u[:old]
        self._z, self._u = torch.cat([self._z, z[old:]]), torch.cat([self._u, u[old:]])
        self._sigma = torch.cat([self._sigma, sigma[old:]])
        self._norm = torch.cat([self._norm, norm[old:]])
        keep = torch.topk(self._norm, min(len(self._norm), self._size)).indices
        self._z, self._u = self._z[keep], self._u[keep]
        self._sigma, self._norm = self._sigma[keep], self._norm[keep]


class Optimizer:
    """Muon for the weights between hidden layers, as matrices [out, in * 9], and Adam for others.

    The weights are in channels-last order, so that the matrices are views of them.
    """

    def __init__(self, denoiser: Network) -> None:
        self._hidden = [p for p in denoiser.parameters() if p.ndim == 4 and min(p.shape[:2]) >= 8]
        self._matrices = [
            torch.nn.Parameter(p.detach().permute(0, 2, 3, 1).flatten(1)) for p in self._hidden
        ]
        for p, matrix in zip(self._hidden, self._matrices, strict=True):
            assert matrix.data_ptr() == p.data_ptr()
        hidden = {id(p) for p in self._hidden}
        others = [p for p in denoiser.parameters() if id(p) not in hidden]
        self._optimizers = [(0.1, torch.optim.Adam(others))]
        if self._matrices:
            self._optimizers.append((1.0, torch.optim.Muon(self._matrices, weight_decay=0)))

    def step(self, rate: float) -> None:
        """One step at a learning rate of ``rate`` for Muon and a tenth of it for Adam."""
        for p, matrix in zip(self._hidden, self._matrices, strict=True):
            matrix.grad = p.grad.permute(0, 2, 3, 1).flatten(1)
        for share, optimizer in self._optimizers:
            optimizer.param_groups[0]["lr"] = share * rate
            optimizer.step()


def noise_levels(recipe: Recipe, n: int) -> Tensor:
    """Uniform between the recipe's bounds, in the unit of x; [n, 1, 1, 1]."""
    low, high = (sigma / 255 for sigma in recipe.sigma)
    return low + (high - low) * torch.rand(n, 1, 1, 1)


def points(x: Tensor, y: Tensor, clean: Tensor, side: int, n: int) -> tuple[Tensor, Tensor]:
    """n points for the penalty, [n, 1, side, side], and which images of the batch they are from.

    The clean image or D(y), ``clean``, plus from none to one and a half times the noise.
    """
    top, left = (int(torch.randint(x.shape[2] - side + 1, ())) for _ in "hw")
    images = torch.randperm(len(x))[:n]
    x, y, clean = (
        image[images, :, top : top + side, left : left + side] for image in (x, y, clean)
    )
    centre = torch.where(torch.rand(len(x), 1, 1, 1) < 0.35, clean, x)
    share = (2 * torch.rand(len(x), 1, 1, 1) - 0.5).clamp(min=0)
    return centre + share * (y - x), images


def penalty(denoiser: Stack, hard: HardPoints, z: Tensor, sigma: Tensor, margin: float) -> Tensor:
    """Mean square excess of |J_D|_2 over 1 - margin, over new points z and as many hard ones."""
    with torch.no_grad():
        signs = denoiser.linearized(z, sigma)[1]
        u = power_iteration(denoiser, signs, torch.randn_like(z), 4)[1]
    old = hard.draw(len(z))
    z, sigma, u = (torch.cat(pair) for pair in zip(old, (z, sigma, u), strict=True))
    with torch.no_grad():
        signs = denoiser.linearized(z, sigma)[1]
    norm, u = power_iteration(denoiser, signs, unit(u), 2)
    hard.put_back(z, sigma, u, norm.detach())
    return (norm - (1 - margin)).relu().square().mean()


def train(
    denoiser: Network,
    crops: Crops,
    recipe: Recipe,
    *,
    minutes: float = math.inf,
    save: Callable[[Network], None] = lambda mean: None,
) -> Network:
    """Run the recipe; the running mean of the weights. ``save`` gets it now and then.

    ``minutes`` shortens the schedule to that time: the result then depends on the machine's speed.
    """
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    denoiser.requires_grad_(True)
    mean = copy.deepcopy(denoiser).requires_grad_(False)
    optimizer = Optimizer(denoiser)
    hard = HardPoints(256, recipe.side // 2)
    warmup = min(300, recipe.steps // 10 + 1)
    start, step, progress, running = time.monotonic(), 0, 0.0, np.ones(2)
    while progress < 1:
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        rate = recipe.rate * min(1.0, (step + 1) / warmup) * cosine
        x, sigma = crops.batch(recipe.batch), noise_levels(recipe, recipe.batch)
        y = x + sigma * torch.randn_like(x)
        clean = denoiser(y, sigma)
        error = ((clean - x).square() / (sigma.square() + FLOOR)).mean()
        excess = torch.zeros(())
        if recipe.penalty > 0:
            z, images = points(x, y, clean.detach(), recipe.side // 2, recipe.batch // 2)
            excess = penalty(denoiser, hard, z, sigma[images], recipe.margin)
        denoiser.zero_grad()
        (error + recipe.penalty * excess).backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step(rate)
        if step % 200 == 0 and progress < 0.7:
            denoiser.revive(mean, y, sigma)
        decay = min(EMA, (step + 1) / (step + 10))
        for average, weight in zip(mean.parameters(), denoiser.parameters(), strict=True):
            average.lerp_(weight.detach(), 1 - decay)
        step += 1
        running += (np.array([error.item(), excess.item()]) - running) / min(step, 300)
        passed = (time.monotonic() - start) / 60
        progress = max(step / recipe.steps, passed / minutes)
        if step % 200 == 0 or progress >= 1:
            line = f"step {step}/{recipe.steps} {passed:.1f} min, noise left {running[0]:.4f}"
            print(line, f"penalty {running[1]:.2e}" if recipe.penalty else "", flush=True)
        if step % 1000 == 0 or progress >= 1:
            save(mean)
    mean.dtype = torch.float32
    return mean


def checks(denoiser: Network, path: Path, crops: Crops, recipe: Recipe) -> str:
    """Raises SystemExit where ONNX Runtime's answer is not torch's; else the card, a TOML table."""
    y, sigma = crops.batch(3), noise_levels(recipe, 1)
    with torch.no_grad():
        found = difference(path, y, sigma, denoiser(y, sigma))
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
    photographs = [load(p, options.data) for p in _listed(options)]
    crops = Crops(photographs, recipe.side, np.random.default_rng(options.seed))
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
    options.checkpoints.mkdir(parents=True, exist_ok=True)

    def save(d: Network) -> None:
        torch.save(d.state_dict(), options.checkpoints / f"{name}.pt")

    denoiser = train(denoiser, crops, recipe, minutes=options.minutes, save=save)
    path = options.out / f"{name}.onnx"
    write_onnx(denoiser, name, recipe, path)
    path.with_suffix(".toml").write_text(checks(denoiser, path, crops, recipe))
    print(f"wrote {path}")


def _listed(options: argparse.Namespace) -> list[Photograph]:
    """The training photographs; those of the small packages for --smoke."""
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
        return
    recipe = RECIPES[options.name]
    chosen = {key: getattr(options, key) for key in ("steps", "rate")}
    recipe = replace(recipe, **{key: value for key, value in chosen.items() if value is not None})
    make(options.name, recipe, options)


if __name__ == "__main__":
    main()
