"""The tables of the card: a denoiser on images it never saw, and how nonexpansive it is.

`python models/evaluate.py models/dncnn7-s5.onnx` prints Markdown tables. The images are
scikit-image's camera, coffee, chelsea and astronaut, in gray, at their own size; none of them is a
training photograph. D, J_D, sigma: see train.py.
"""

import argparse
import hashlib
import importlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from skimage import color, data

from photographs import listed
from train import LAYERS, Denoiser, jacobian_norm

IMAGES = ("camera", "coffee", "chelsea", "astronaut")
Image = NDArray[np.float32]


def held_out(name: str) -> Image:
    """[h, w] in [0, 1]."""
    image = getattr(data, name)()
    gray = color.rgb2gray(image) if image.ndim == 3 else image / 255
    return np.asarray(gray, np.float32)


def psnr(x: Image, reference: Image) -> float:
    """In dB, for a peak of 1."""
    return -10 * math.log10(np.mean((x - reference) ** 2, dtype=np.float64))


def quality(path: Path, sigma: float, bm3d: Callable[[Image, float], Image] | None) -> None:
    """One row an image: PSNR of the noisy image, of D's answer, and of BM3D's where asked for."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows: dict[str, list[float]] = {}
    for seed, name in enumerate(IMAGES):
        x = held_out(name)
        y = x + np.float32(sigma) * np.random.default_rng(seed).standard_normal(x.shape, np.float32)
        rows[name] = [psnr(y, x), psnr(session.run(None, {"x": y[None, None]})[0][0, 0], x)]
        if bm3d:
            rows[name].append(psnr(bm3d(y, sigma), x))
    rows["mean"] = list(np.mean(list(rows.values()), axis=0))
    print("| image | size | noisy | this network |" + (" BM3D |" if bm3d else ""))
    print("|---|---|---|---|" + ("---|" if bm3d else ""))
    for name, values in rows.items():
        size = "" if name == "mean" else "x".join(map(str, held_out(name).shape))
        print(f"| {name} | {size} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


def nonexpansiveness(path: Path, sigma: float, side: int, iterations: int) -> None:
    """One row an image: |J_D|_2 at its middle [side, side], clean and with noise."""
    denoiser = Denoiser(sigma)
    value = {
        w.name: torch.from_numpy(numpy_helper.to_array(w).copy())
        for w in onnx.load(path).graph.initializer
    }
    denoiser.load_state_dict(
        {
            f"convolutions.{k}.{kind}": value[f"{kind}{k + 1}"]
            for k in range(LAYERS)
            for kind in ("weight", "bias")
        }
    )
    denoiser.requires_grad_(False)
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    print("| image | clean | noise sigma | noise 3 sigma |\n|---|---|---|---|")
    for seed, name in enumerate(IMAGES):
        torch.manual_seed(seed)
        x = torch.from_numpy(held_out(name))
        i, j = ((size - side) // 2 for size in x.shape)
        x = x[i : i + side, j : j + side]
        e = sigma * torch.randn_like(x)
        norms = jacobian_norm(denoiser, torch.stack([x, x + e, x + 3 * e])[:, None], iterations)
        print(
            f"| {name} | " + " | ".join(f"{norm:.3f}" for norm in norms.tolist()) + " |", flush=True
        )


def attributions() -> None:
    """One row a training photograph: whose it is, and under which licence."""
    print("| package | photograph | author | licence | reduced by |\n|---|---|---|---|---|")
    for p in listed():
        print(f"| {p.package} | {Path(p.path).name} | {p.author} | {p.licence} | {p.shrink} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the tables of a denoiser's card.")
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--bm3d", action="store_true", help="compare with BM3D (needs the package bm3d)"
    )
    parser.add_argument(
        "--side", type=int, default=128, help="side of the region |J_D| is measured on, pixels"
    )
    parser.add_argument("--iterations", type=int, default=30, help="power iterations")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    properties = {p.key: p.value for p in onnx.load(options.model).metadata_props}
    sigma = float(properties["asyncred.sigma"])
    content = options.model.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    print(f"{options.model.name}: {len(content)} bytes, sha256 {sha256}\n")
    # BM3D is not free software: only to compare with, and only where it is asked for.
    bm3d = importlib.import_module("bm3d").bm3d if options.bm3d else None
    quality(options.model, sigma, bm3d)
    print()
    nonexpansiveness(options.model, sigma, options.side, options.iterations)
    print()
    attributions()


if __name__ == "__main__":
    main()
