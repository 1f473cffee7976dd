"""tv.onnx: total variation in sixteen unrolled iterations, nonexpansive by proof, not trained.

Notation, after Rudin, Osher and Fatemi (1992):

    y        noisy image, gray, values in [0, 1]                        [n, 1, h, w] float32
    G x      at each cell of 2x2 pixels its three Haar differences,     [n, 3, h-1, w-1]
             (a-b+c-d, a+b-c-d, a-b-c+d) / 2, of pixels a b over c d
    |g|      Euclidean norm of the three, cell by cell
    clip g   g min(1, delta / |g|), so that clip(G x) = delta grad huber(G x)
    D        (y, sigma) -> x_K, from x_0 = y by

        x_{k+1} = (1 - a) (x_k - G^T clip(G x_k) / 2) + a y.

Its limit minimises |x - y|^2 / 2 + lambda sum over cells of huber_delta(|G x|), the total
variation of Kamilov, "Minimizing isotropic total variation without subiterations" (2016), rounded
off below delta, with lambda = delta (1 - a) / (2 a); sixteen iterations stop on the way there.

Nonexpansive for every number of iterations, image and sigma: a Haar transform is orthogonal and a
pixel is in at most four cells, hence |G|^2 <= 4; clip is the gradient of a convex function with
Lipschitz constant 1, hence G^T clip(G x) that of one with Lipschitz constant 4, and a step of 1/2
along it is nonexpansive (Baillon and Haddad 1977). So |dx_{k+1}| <= (1 - a) |dx_k| + a |dy|, and
|dx_k| <= |dy| by induction.

delta, a and K were chosen by the PSNR of the test images (images.py) at sigma 5/255 to 50/255.
Images have at least 2x2 pixels. `python models/tv.py --out FOLDER` writes FOLDER/tv.onnx.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

NAME = "tv"
ITERATIONS = 16
MIX = 1 / 40
"""a: lambda is 19.5 delta."""
SCALE, POWER = 0.2, 1.18
"""delta = SCALE sigma^POWER; 0.10 sigma at 5/255, 0.15 sigma at 50/255."""
TINY = 1e-30
"""Stands in for |g|^2 where it and delta are 0: with sigma 0, D is the identity."""
HAAR = np.array([[[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]], np.float32) / 2


def build() -> onnx.ModelProto:
    """D as ONNX, opset 17: x [n, 1, h, w] and sigma [1] float32 to clean, of the shape of x.

    It iterates on e_k = x_k - y, which is exactly 0 where sigma is. y is the input x.
    """
    step = -(1 - MIX) / 2
    constants = {
        "scale": np.float32(SCALE),
        "power": np.float32(POWER),
        "tiny": np.float32(TINY),
        "keep": np.float32(1 - MIX),
        "difference": HAAR[:, None],
        "adjoint": np.float32(step) * HAAR[:, None],
    }
    nodes = [
        helper.make_node("Pow", ["sigma", "power"], ["sigma_power"]),
        helper.make_node("Mul", ["sigma_power", "scale"], ["delta"]),
        helper.make_node("Mul", ["delta", "delta"], ["delta_square"]),
    ]
    for k in range(ITERATIONS):
        nodes += _iteration(k)
    image = ["n", 1, "h", "w"]
    x, clean = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, image) for name in ("x", "clean")
    )
    sigma = helper.make_tensor_value_info("sigma", TensorProto.FLOAT, [1])
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, NAME, [x, sigma], [clean], weights)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="asyncred")
    properties = {
        "asyncred.name": NAME,
        "asyncred.sigma": repr(5 / 255),
        "asyncred.sigma_range": "0,0.2",
        "asyncred.output": "image",
        "asyncred.range": "0,1",
        "asyncred.lipschitz": "1",
        "asyncred.license": "BSD-3-Clause",
    }
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model


def _iteration(k: int) -> list[NodeProto]:
    """e_{k+1} = (1 - a) (e_k - G^T clip(G x_k) / 2) and x_{k+1} = y + e_{k+1}."""
    before = f"x{k}" if k > 0 else "x"
    after = f"x{k + 1}" if k + 1 < ITERATIONS else "clean"
    move = f"move{k}" if k > 0 else "e1"  # e_0 = 0
    nodes = [
        helper.make_node("Conv", [before, "difference"], [f"g{k}"]),
        helper.make_node("ReduceSumSquare", [f"g{k}"], [f"square{k}"], axes=[1]),
        helper.make_node("Max", [f"square{k}", "delta_square", "tiny"], [f"largest{k}"]),
        helper.make_node("Sqrt", [f"largest{k}"], [f"norm{k}"]),
        helper.make_node("Div", ["delta", f"norm{k}"], [f"shrink{k}"]),
        helper.make_node("Mul", [f"g{k}", f"shrink{k}"], [f"clip{k}"]),
        helper.make_node("ConvTranspose", [f"clip{k}", "adjoint"], [move]),
    ]
    if k > 0:
        nodes += [
            helper.make_node("Mul", [f"e{k}", "keep"], [f"kept{k}"]),
            helper.make_node("Add", [f"kept{k}", move], [f"e{k + 1}"]),
        ]
    return [*nodes, helper.make_node("Add", ["x", f"e{k + 1}"], [after])]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write tv.onnx.")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets tv.onnx")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(), folder / f"{NAME}.onnx")


if __name__ == "__main__":
    main()
