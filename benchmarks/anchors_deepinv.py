"""RED by DeepInverse, on the problem and with the weights of ``anchors_case``: A and D in torch.

    pip install deepinv torch

As its documentation has it: ``optim_builder`` with the prior RED, a data fidelity L2 and a
LinearPhysics of our own. Its lambda is tau; its stepsize is gamma of the gradient method, and
1 / mu where the data term's prox is taken; images are [1, 1, H, W], measurements [1, b, m].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from anchors_case import DENOISER, THREADS, Case
from asyncred.denoisers.onnx import Denoiser
from asyncred.denoisers.shipped import model_path
from asyncred.grid import BlockGrid
from asyncred.operators import Image

try:
    import torchvision  # noqa: F401
except RuntimeError:  # a CUDA build beside a torch for CPUs lacks operators; nobody calls these
    OPERATORS = torch.library.Library("torchvision", "DEF")
    OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import deepinv
from deepinv.optim import BaseOptim, optim_builder
from deepinv.optim.data_fidelity import L2
from deepinv.optim.prior import RED

CG_STEPS, CG_TOLERANCE = 50, 1e-4
"""Of conjugate gradients in a prox: what DeepInverse has by default."""

torch.set_num_threads(THREADS)


class BlockRandomPhysics(deepinv.physics.LinearPhysics):
    """A_i x_i for all blocks, A_i dense."""

    def __init__(self, grid: BlockGrid, matrices: Mapping[int, np.ndarray]) -> None:
        super().__init__(max_iter=CG_STEPS, tol=CG_TOLERANCE)
        self.grid = grid
        self.matrices = [torch.from_numpy(matrices[i]) for i in range(len(grid))]

    def A(self, x: Tensor, **_: object) -> Tensor:
        """[1, 1, H, W] to [1, b, m]."""
        blocks = [x[0, 0][self.grid.block(i)].reshape(-1) for i in range(len(self.grid))]
        return torch.stack([a @ u for a, u in zip(self.matrices, blocks, strict=True)])[None]

    def A_adjoint(self, y: Tensor, **_: object) -> Tensor:
        """[1, b, m] to [1, 1, H, W]."""
        out = y.new_empty((1, 1, *self.grid.shape))
        for i, a in enumerate(self.matrices):
            block = out[0, 0][self.grid.block(i)]
            block.copy_((a.T @ y[0, i]).view(block.shape))
        return out


class Network(nn.Module):
    """D(x) = x - R(x), R the convolutions of an ONNX file with ReLU between them.

    Raises ValueError where its graph is anything else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        stored = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        expected = [*["Conv", "Relu"] * (len(convolutions) - 1), "Conv", "Sub"]
        if (found := [node.op_type for node in graph.node]) != expected:
            raise ValueError(f"{path}: operators {found}, expected {expected}")
        layers: list[nn.Module] = []
        for node in convolutions:
            weight, bias = (stored[name] for name in node.input[1:])
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers += [layer, nn.ReLU(inplace=True)]
        self.residual = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """D(x) [n, 1, h, w]; it is not told a noise level."""
        return x - self.residual(x)


def network() -> Network:
    """The denoiser of the benchmark."""
    path = model_path(DENOISER)
    assert path is not None
    return Network(path).eval()


@torch.no_grad()
def difference(D: Denoiser, x: Image) -> float:
    """max |D(x) - D_torch(x)|."""
    here = network()(torch.from_numpy(x)[None, None])[0, 0].numpy()
    return float(np.abs(D(x) - here).max())


def gradient(case: Case) -> Iterator[Image]:
    """Its gradient method, as shipped, at the step 1 / (L + 2 tau)."""
    settings = {"stepsize": case.gamma, "lambda": case.tau, "g_param": None}
    return iterates(_built("GD", settings, g_first=False), case)


def fista(case: Case) -> Iterator[Image]:
    """Accelerated proximal gradient, the prox of the data term by CG, mu = tau."""
    settings = {"stepsize": 1 / case.tau, "lambda": case.tau, "g_param": None, "a": 3}
    return iterates(_built("FISTA", settings, g_first=True), case)


def _built(iteration: str, settings: dict[str, float | None], *, g_first: bool) -> BaseOptim:
    return optim_builder(
        iteration,
        params_algo=settings,
        data_fidelity=L2(),
        prior=RED(denoiser=network()),
        g_first=g_first,
    )


@torch.no_grad()
def iterates(model: BaseOptim, case: Case) -> Iterator[Image]:
    """What ``model(y, physics, init=x0)`` computes, iterate by iterate."""
    physics = BlockRandomPhysics(case.grid, case.matrices)
    y = torch.from_numpy(np.stack([case.y[i] for i in range(len(case.grid))]))[None]
    x0 = torch.from_numpy(case.x0)[None, None]
    loop = model.fixed_point
    X, k = loop.init_iterate_fn(y, physics, (x0, x0), cost_fn=loop.iterator.cost_fn), 0
    while True:
        yield X["est"][0][0, 0].numpy()
        X, k = loop.single_iteration(X, k, y, physics), k + 1


METHODS: Mapping[str, Callable[[Case], Iterator[Image]]] = {
    "deepinv-gd": gradient,
    "deepinv-fista": fista,
}
