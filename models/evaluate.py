"""The tables of the card, README.md: `python models/evaluate.py TABLE`, and TABLE is one of

    files        what each model is: halo, parameters, cost, size, sha256
    quality      PSNR on the test images (images.py) beside noisy, TV and, with --bm3d, BM3D
    sets         mean PSNR on folders of gray pictures, such as Set12 and BSD68: --sets FOLDER ...
    norms        the largest |J_D(z)|_2 found, over clean and noisy test images, denoised ones,
                 and iterates of a RED run
    photographs  whose the training photographs are, and under which licences

Everything is computed from the ONNX files by asyncred itself: no torch.
"""

import argparse
import hashlib
import importlib
import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import images
from asyncred.commands.simulate.cs import simulate_demo
from asyncred.denoisers.appraise import gflop_per_pixel
from asyncred.denoisers.bound import certified_bound
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.jacobian import DenoiserJacobian
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.files.problem import read_problem
from asyncred.red.operator import RedOperator
from asyncred.red.sampling import EpochOrder, FullBatch
from asyncred.red.serial_red import LocalImage, gm_red
from asyncred.red.solver import Silent
from asyncred.red.stepsize import AdaptiveStep
from photographs import listed

HERE = Path(__file__).resolve().parent
SIGMAS = (5, 10, 15, 25, 50)
SIDE = 64
"""Of a point of the search for the largest norm, pixels."""
CROPS = 12
"""Of each test image, at each of the five kinds of point."""
STEPS = 12
"""Lanczos steps at a point."""
ITERATES = (0, 1, 2, 4, 8, 16, 32, 64, 100, 150)
"""Epochs of GM-RED whose iterates are points."""
TAU = 0.8

Image = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a table of the denoisers' card.")
    parser.add_argument("table", choices=("files", "quality", "sets", "norms", "photographs"))
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files (all that ship)")
    parser.add_argument("--bm3d", type=Path, metavar="JSON", help="BM3D too; computed once, kept")
    parser.add_argument("--sets", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_intermixed_args()
    paths = options.models or sorted(HERE.glob("*.onnx"))
    if options.table == "files":
        print_files(paths)
    elif options.table == "quality":
        print_quality(paths, options.bm3d, options.threads)
    elif options.table == "sets":
        print_sets(paths, options.sets, options.threads)
    elif options.table == "norms":
        print_norms(paths, options.threads)
    else:
        print_photographs()


def print_files(paths: list[Path]) -> None:
    """A row a model."""
    row("model", "sigma, 1/255", "halo", "parameters", "kFLOP a pixel", "bytes", "sha256")
    row(*["---"] * 7)
    for path in paths:
        model = inspect_denoiser(path)
        content = path.read_bytes()
        row(
            path.stem,
            _levels_text(model),
            str(model.field.halo),
            f"{model.parameters:,}",
            f"{1e6 * gflop_per_pixel(model):.0f}",
            f"{len(content):,}",
            f"`{hashlib.sha256(content).hexdigest()}`",
        )


def print_quality(paths: list[Path], bm3d: Path | None, threads: int) -> None:
    """A table a noise level; noise of the seed k on image k."""
    names = (*images.NATURAL, *images.MEDICAL)
    for sigma in SIGMAS:
        print(f"\nsigma {sigma}/255\n")
        row("model", *names, "mean of the natural")
        row(*["---"] * (len(names) + 2))
        _quality_row("noisy", [images.psnr(y, x) for x, y in _pairs(sigma)])
        if bm3d:
            _quality_row("BM3D", _bm3d(bm3d, sigma))
        for path in paths:
            model = inspect_denoiser(path)
            if sigma in _levels(model):
                D = OnnxDenoiser(_told(path, sigma), threads=threads)
                _quality_row(path.stem, [images.psnr(D(y), x) for x, y in _pairs(sigma)])


def print_sets(paths: list[Path], folders: list[Path], threads: int) -> None:
    """A row a model, a column a set and noise level; noise of the seed k on picture k."""
    sets = {
        folder.name: [images.read(path) for path in sorted(folder.iterdir())] for folder in folders
    }
    row("model", *(f"{name}, {sigma}/255" for name in sets for sigma in SIGMAS))
    row(*["---"] * (1 + len(sets) * len(SIGMAS)))
    for path in paths:
        told, model = [], inspect_denoiser(path)
        for pictures in sets.values():
            for sigma in SIGMAS:
                if sigma not in _levels(model):
                    told.append("")
                    continue
                D = OnnxDenoiser(_told(path, sigma), threads=threads)
                noisy = (images.noisy(x, sigma / 255, seed) for seed, x in enumerate(pictures))
                found = [images.psnr(D(y), x) for x, y in zip(pictures, noisy, strict=True)]
                told.append(f"{np.mean(found):.2f}")
        row(path.stem, *told)


def _quality_row(name: str, values: list[float]) -> None:
    mean = np.mean(values[: len(images.NATURAL)])
    row(name, *(f"{value:.2f}" for value in values), f"{mean:.3f}")


@cache
def _pairs(sigma: float) -> list[tuple[Image, Image]]:
    """Each test image, clean and noisy."""
    pictures = [images.load(name) for name in (*images.NATURAL, *images.MEDICAL)]
    return [(x, images.noisy(x, sigma / 255, seed)) for seed, x in enumerate(pictures)]


def _bm3d(path: Path, sigma: int) -> list[float]:
    # BM3D is not free software: only to compare with, and only where it is asked for.
    kept = json.loads(path.read_text()) if path.exists() else {}
    if str(sigma) not in kept:
        denoise = importlib.import_module("bm3d").bm3d
        kept[str(sigma)] = [
            images.psnr(np.float32(denoise(y, sigma / 255)), x) for x, y in _pairs(sigma)
        ]
        path.write_text(json.dumps(kept))
    return list(kept[str(sigma)])


def print_norms(paths: list[Path], threads: int) -> None:
    """A row a model and noise level: the largest norm at each kind of point."""
    kinds = ("clean", "noise sigma/2", "noise sigma", "noise 2 sigma", "denoised", "RED iterates")
    row("model", "sigma, 1/255", *kinds, "all", "points", "over 1", "proven")
    row(*["---"] * (len(kinds) + 6))
    for path in paths:
        for sigma in _levels(inspect_denoiser(path)):
            model = _told(path, sigma)
            J = DenoiserJacobian(model, threads=threads)
            found: dict[str, list[float]] = {kind: [] for kind in kinds}
            for kind, z in _points(model, kinds, threads):
                found[kind].append(J.norm(z, steps=STEPS).value)
            everything = np.concatenate(list(found.values()))
            bound = certified_bound(model)
            row(
                path.stem,
                str(sigma),
                *(f"{max(values):.4f}" for values in found.values()),
                f"**{everything.max():.4f}**",
                str(everything.size),
                f"{np.mean(everything > 1):.0%}",
                "-" if bound is None else f"{bound:.3g}",
            )


def _points(
    model: DenoiserModel, kinds: tuple[str, ...], threads: int
) -> Iterator[tuple[str, Image]]:
    """Kinds and points [SIDE, SIDE]: random crops, the same for every model of that sigma."""
    assert model.sigma is not None
    D, rng = OnnxDenoiser(model, threads=threads), np.random.default_rng(0)
    for seed, name in enumerate((*images.NATURAL, *images.MEDICAL)):
        x = images.load(name)
        y = images.noisy(x, model.sigma, seed + 100)
        e = y - x
        for kind, z in zip(kinds, (x, x + e / 2, y, x + 2 * e, D(y)), strict=False):
            for _ in range(CROPS):
                yield kind, _crop(z, rng)
    for z in _iterates(D):
        for _ in range(CROPS):
            yield kinds[-1], _crop(z, rng)


def _crop(x: Image, rng: np.random.Generator) -> Image:
    i, j = (int(rng.integers(side - SIDE + 1)) for side in x.shape)
    return np.ascontiguousarray(x[i : i + SIDE, j : j + SIDE])


def _iterates(D: OnnxDenoiser) -> list[Image]:
    """x of GM-RED on the compressive-sensing problem of `asyncred demo`, from A^T y."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.h5"
        simulate_demo(path, overwrite=False)
        problem = read_problem(path)
        grid, own = problem.grid, list(range(len(problem.grid)))
        A = problem.data.operator(own, threads=2)
    x0 = np.zeros(grid.shape, np.float32)
    for i in own:
        x0[grid.block(i)] = A.adjoint(i)
    x = LocalImage(grid, x0, halo=D.halo, align=D.align)
    seen: list[Image] = []
    epoch = 0

    def stop() -> bool:
        nonlocal epoch
        if epoch in ITERATES:
            seen.append(x.array.copy())
        epoch += 1
        return epoch > ITERATES[-1]

    L = {i: A.lipschitz(i, None) for i in own}
    gm_red(
        RedOperator(grid, A, D, tau=TAU),
        x,
        order=EpochOrder(own, [0]),
        minibatch=FullBatch(),
        step=AdaptiveStep(L, tau=TAU, b=len(own)),
        stop=stop,
        monitor=Silent(),
    )
    return seen


def _levels(model: DenoiserModel) -> list[int]:
    """The noise levels at which a model is judged, in 1/255."""
    if not model.conditional:
        return [] if model.sigma is None else [round(255 * model.sigma)]
    low, high = (255 * bound for bound in model.sigma_range or (0, 1))
    return [sigma for sigma in SIGMAS if low - 1e-6 <= sigma <= high + 1e-6]


def _levels_text(model: DenoiserModel) -> str:
    if model.conditional and model.sigma_range:
        return " to ".join(f"{255 * bound:g}" for bound in model.sigma_range)
    return "" if model.sigma is None else f"{255 * model.sigma:g}"


def _told(path: Path, sigma: float) -> DenoiserModel:
    """The model at a noise level, in 1/255."""
    model = inspect_denoiser(path)
    return inspect_denoiser(path, sigma=sigma / 255) if model.conditional else model


def print_photographs() -> None:
    """A row a training photograph."""
    row("package", "photograph", "author", "licence", "reduced by")
    row(*["---"] * 5)
    for p in listed():
        row(p.package, Path(p.path).name, p.author, p.licence, str(p.shrink))


def row(*cells: str) -> None:
    """A row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
