"""The recipe of dncnn7-s5.onnx: the network, its loss, its training, and the ONNX file.

Notation, after Zhang et al., "Beyond a Gaussian denoiser" (2017), and Pesquet et al., "Learning
maximally monotone operators for image recovery" (2021):

    x        clean image, gray, values in [0, 1]         [n, 1, h, w] float32
    y        x + sigma e, e white Gaussian               same shape
    R        the seven-layer network, an estimate of sigma e
    D        y - R(y), the denoiser; J_D its Jacobian

    minimise  mean |D(y) - x|^2 / sigma^2  +  weight max(|J_D(z)|_2 - (1 - eps), 0)^2,

with z a random point between x and y; the second term is there where --jacobian gives its weight.

`python models/train.py --out FOLDER` makes FOLDER/dncnn7-s5.onnx; --smoke does it all in miniature.
"""

import argparse
import copy
import itertools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from photographs import Crops, fetch, listed, load

LAYERS, CHANNELS = 7, 48
NAME = "dncnn7-s5"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "asyncred"


class Denoiser(nn.Module):
    """D(y) = y - R(y); R: seven 3x3 convolutions with bias and zero padding, ReLU between them."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        widths = [1, *[CHANNELS] * (LAYERS - 1), 1]
        stack = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)]
        for convolution in stack:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        with torch.no_grad():  # R starts at the size of the noise it is to find
            stack[-1].weight.mul_(sigma)
        self.convolutions = nn.ModuleList(stack)

    def forward(self, y: Tensor) -> Tensor:
        r: Tensor = self.convolutions[0](y)
        for convolution in self.convolutions[1:]:
            r = convolution(torch.relu(r))
        return y - r


def jacobian_norm(denoise: Callable[[Tensor], Tensor], z: Tensor, iterations: int) -> Tensor:
    """|J_D(z)|_2 of each image of z [n, 1, h, w], by power iteration on J^T J; [n].

    A lower bound that rises with iterations; differentiable in the weights of D.
    """
    z = z.detach().requires_grad_(True)
    x = denoise(z)
    u = _unit(torch.randn_like(z))
    for _ in range(iterations):
        with torch.no_grad():
            v = torch.func.jvp(denoise, (z.detach(),), (u,))[1]
        u = _unit(torch.autograd.grad(x, z, v, retain_graph=True)[0])
    return _norm(torch.func.jvp(denoise, (z.detach(),), (u,))[1])[:, 0, 0, 0]


def _norm(u: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(u, dim=(1, 2, 3), keepdim=True)
    return norm


def _unit(u: Tensor) -> Tensor:
    return u / _norm(u)


def objective(denoiser: Denoiser, x: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """At the clean crops x: the error in units of sigma^2; the penalty, without its weight."""
    y = x + options.sigma * torch.randn_like(x)
    error = (denoiser(y) - x).square().mean() / options.sigma**2
    if options.jacobian == 0:
        return error, torch.zeros(())
    x, y = x[: options.points], y[: options.points]
    z = torch.lerp(x, y, torch.rand(len(x), 1, 1, 1))
    excess = jacobian_norm(denoiser, z, options.iterations) - (1 - options.eps)
    return error, excess.relu().square().mean()


def train(
    denoiser: Denoiser, crops: Crops, options: argparse.Namespace, save: Callable[[Denoiser], None]
) -> Denoiser:
    """Adam with a warm-up and a cosine decay over options.steps; returns the mean of the weights.

    options.minutes, where it is set, shortens the schedule to fit: then the result depends on the
    machine's speed. The mean is a running one, options.ema its decay.
    """
    denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    denoiser.requires_grad_(True)
    mean = copy.deepcopy(denoiser).requires_grad_(False)
    adam = torch.optim.Adam(denoiser.parameters())
    warmup = min(500, options.steps // 10 + 1)
    start, step, progress, running = time.monotonic(), 0, 0.0, np.ones(2)
    while progress < 1:
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        adam.param_groups[0]["lr"] = options.rate * min(1.0, (step + 1) / warmup) * cosine
        error, penalty = objective(denoiser, crops.batch(options.batch), options)
        adam.zero_grad()
        (error + options.jacobian * penalty).backward()
        adam.step()
        for average, weight in zip(mean.parameters(), denoiser.parameters(), strict=True):
            average.lerp_(weight.detach(), 1 - options.ema)
        step += 1
        running += (np.array([error.item(), penalty.item()]) - running) / min(step, 200)
        minutes = (time.monotonic() - start) / 60
        progress = max(step / options.steps, minutes / options.minutes)
        if step % 100 == 0 or progress >= 1:
            psnr = -10 * math.log10(running[0] * options.sigma**2)
            line = f"step {step}/{options.steps} {minutes:.1f} min {psnr:.2f} dB"
            print(line, f"penalty {running[1]:.2e}", flush=True)
        if step % 1000 == 0 or progress >= 1:
            save(mean)
    return mean


def export(denoiser: Denoiser, sigma: float, path: Path) -> None:
    """Write D as ONNX, opset 17, weights inside: x [n, 1, h, w] float32 to clean, same shape."""
    nodes, weights, r = [], [], "x"
    for k, convolution in enumerate(denoiser.convolutions, 1):
        names = [f"weight{k}", f"bias{k}"]
        for name, value in zip(names, convolution.parameters(), strict=True):
            weights.append(numpy_helper.from_array(value.detach().contiguous().numpy(), name))
        nodes.append(helper.make_node("Conv", [r, *names], [f"conv{k}"], pads=[1] * 4))
        r = f"conv{k}"
        if k < LAYERS:
            nodes.append(helper.make_node("Relu", [r], [f"relu{k}"]))
            r = f"relu{k}"
    nodes.append(helper.make_node("Sub", ["x", r], ["clean"]))
    x, clean = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"])
        for name in ("x", "clean")
    )
    graph = helper.make_graph(nodes, NAME, [x], [clean], weights)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="asyncred")
    properties = {
        "asyncred.name": NAME,
        "asyncred.sigma": repr(sigma),
        "asyncred.output": "image",
        "asyncred.range": "0,1",
        "asyncred.license": "BSD-3-Clause",
    }
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def agree(denoiser: Denoiser, path: Path, y: Tensor) -> float:
    """The largest difference between ONNX Runtime's answer and torch's on y [n, 1, h, w]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        return float(np.abs(session.run(None, {"x": y.numpy()})[0] - denoiser(y).numpy()).max())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train a denoiser and write it as ONNX.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help=f"folder that gets {NAME}.onnx")
    add("--data", type=Path, default=CACHE / "photographs", help="folder of the photographs")
    add("--checkpoint", type=Path, default=CACHE / f"{NAME}.pt", help="weights saved on the way")
    add("--init", type=Path, help="checkpoint to start from; with --steps 0 only exported")
    add("--sigma", type=float, default=5 / 255, help="noise level")
    add("--steps", type=int, default=24000, help="of Adam")
    add("--minutes", type=float, default=math.inf, help="shorten the schedule to this time")
    add("--batch", type=int, default=8, help="crops a step")
    add("--side", type=int, default=64, help="side of a crop, pixels")
    add("--rate", type=float, default=1e-3, help="largest learning rate")
    add("--ema", type=float, default=0.999, help="decay of the running mean of the weights")
    add("--jacobian", type=float, default=0.0, help="weight of the penalty on |J_D| > 1 - eps")
    add("--eps", type=float, default=0.02, help="margin of the penalty")
    add("--iterations", type=int, default=5, help="power iterations of the penalty")
    add("--points", type=int, default=4, help="crops of a batch that the penalty sees")
    add("--threads", type=int, default=2, help="of torch")
    add("--seed", type=int, default=0, help="of the weights, the crops and the noise")
    add("--smoke", action="store_true", help="43 steps, 3 with the penalty; checkpoint in --out")
    options = parser.parse_args(arguments)
    if options.smoke and options.out.resolve() == Path(__file__).resolve().parent:
        parser.error("--smoke does not write beside the shipped model: give another --out")
    return options


def main() -> None:
    options = parse()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        options.steps, options.checkpoint = 40, options.out / f"{NAME}.pt"
    for package in {p.package for p in listed()}:
        fetch(package, options.data)
    photographs = [load(p, options.data) for p in listed()]
    pixels = sum(p.numel() for p in photographs)
    print(f"{len(photographs)} photographs, {pixels / 1e6:.1f} million pixels", flush=True)
    crops = Crops(photographs, options.side, np.random.default_rng(options.seed))

    def save(d: Denoiser) -> None:
        options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save(d.state_dict(), options.checkpoint)

    denoiser = Denoiser(options.sigma)
    if options.init:
        denoiser.load_state_dict(torch.load(options.init, weights_only=True))
    if options.steps > 0:
        denoiser = train(denoiser, crops, options, save)
    if options.smoke:
        options.steps, options.jacobian = 3, 1.0
        denoiser = train(denoiser, crops, options, save)
    path = options.out / f"{NAME}.onnx"
    export(denoiser, options.sigma, path)
    difference = agree(denoiser, path, crops.batch(3))
    print(f"{path}: ONNX Runtime and torch differ by at most {difference:.1e}")
    if difference > 1e-5:
        raise SystemExit("the ONNX file does not agree with the network it was made from")


if __name__ == "__main__":
    main()
