"""What asyncred says to the networks that people have, by both exporters of torch.

    pip install 'asyncred[networks]'
    python benchmarks/graphs.py [NAME ...] [--folder DIR] [--no-runs]

A row a graph: accepted or refused, halo and alignment, whether the halo is right (a change of the
image outside of a window leaves the block as it is, bit by bit, and one at its edge does not), how
far tiles are from the whole, and whether a run of cs (of complex networks none) and of mri on two
ranks ends well. Exits with 1 where a halo is wrong or a traceback comes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.denoisers.tiles import proved
from common import ASYNCRED, ENVIRONMENT, mpirun, table
from graphs_zoo import CASES, Case, built, example

EXPORTERS = ("legacy", "dynamo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--no-runs", action="store_true", help="leave out cs and mri")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        problems = {} if options.no_runs else made_problems(folder)
        for name in options.names or CASES:
            for exporter in EXPORTERS:
                row = [name, exporter, *judged(CASES[name], exporter, folder, problems)]
                bad += any(re.match("WRONG|Traceback|exit", cell) for cell in row)
                rows.append(row)
                print(" | ".join(row), flush=True)
    head = ["network", "exporter", "", "halo", "align", "perturbed", "tile error", "cs", "mri"]
    print(table(head, rows))
    print(f"{len(rows)} graphs, {bad} wrong")
    sys.exit(bad > 0)


def made_problems(folder: Path) -> dict[str, Path]:
    """A small problem of each kind."""
    found = {}
    for kind, flags in {
        "cs": ("--size", "64", "--block", "32"),
        "mri": ("--size", "64", "--block", "32"),
    }.items():
        found[kind] = folder / f"{kind}.h5"
        command = ("simulate", kind, found[kind], *flags, "--overwrite")
        done = launched(*ASYNCRED, *command)
        if done.returncode:
            raise SystemExit(done.stderr)
    return found


def judged(case: Case, exporter: str, folder: Path, problems: dict[str, Path]) -> list[str]:
    """The cells of a row."""
    path = folder / "network.onnx"
    try:
        export(case, exporter, path)
    except Exception as error:  # what an exporter cannot do is no fault of asyncred
        return [f"not exported: {type(error).__name__}", *[""] * 6]
    try:
        model, error = proved(inspect_denoiser(path, **told(case.flags)))
    except ValueError as refusal:
        said = str(refusal).removeprefix(f"{path}: ")
        said = said if len(said) < 240 else f"{said[:110]} ... {said[-110:]}"
        return [f"refused: {said}", *[""] * 6]
    how = "" if model.roles.plain else f" ({words(model)})"
    runs = [
        "" if kind == "cs" and model.roles.planes == 2 else ended(path, problem, case.flags)
        for kind, problem in problems.items()
    ]
    return [
        f"accepted{how}",
        str(model.field.halo),
        str(model.field.align),
        perturbed(model) if model.halo_known else "not exact",
        f"{error:.1e}",
        *(runs or ["", ""]),
    ]


def words(model: DenoiserModel) -> str:
    """How the border of the network was made."""
    roles = model.roles
    parts = [f"{roles.channels} channels"] * (roles.channels > 1)
    parts += [f"level: {roles.form}"] * bool(roles.form) + ["freed"] * roles.fixed
    parts += ["cast"] * roles.converted + [roles.layout] * (roles.layout != "NCHW")
    return ", ".join(parts)


def told(flags: tuple[str, ...]) -> dict[str, object]:
    """The same for ``inspect_denoiser``."""
    found: dict[str, object] = {}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        if flag == "--halo":
            found["halo"] = int(value)
        elif flag == "--denoiser-range":
            low, high = value.split(":")
            found["value_range"] = float(low), float(high)
    return found


def export(case: Case, exporter: str, path: Path) -> None:
    """Write the file."""
    network = built(case)
    inputs = tuple(t.to(case.dtype) for t in example(case))
    axes = {2: "h", 3: "w"}
    if path.parent and not case.wrapped:
        inputs, axes = tuple(t.permute(0, 2, 3, 1) for t in inputs), {1: "h", 2: "w"}
    names = ["x", "sigma"][: len(inputs)]
    free = {"x": axes} if case.level != "map" else {"x": axes, "sigma": axes}
    path.unlink(missing_ok=True)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        if exporter == "legacy":
            torch.onnx.export(
                network,
                inputs,
                path,
                dynamo=False,
                opset_version=17,
                input_names=names,
                output_names=["y"],
                dynamic_axes=None if case.static else free,
            )
        else:
            shapes = None
            if not case.static:
                h, w = torch.export.Dim("h", min=8), torch.export.Dim("w", min=8)
                sides = {axis: {"h": h, "w": w}[side] for axis, side in axes.items()}
                dims = [sides, sides if case.level == "map" else {}][: len(inputs)]
                shapes = tuple(dims)
                if len(inputs) > 1:
                    shapes = (dims[0], (dims[1],))
            torch.onnx.export(
                network,
                inputs,
                path,
                dynamo=True,
                input_names=names,
                output_names=["y"],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    onnx.load(path)


def perturbed(model: DenoiserModel) -> str:
    """Whether the halo is right: bit by bit, on images of one size."""
    D, planes = OnnxDenoiser(model, threads=1), model.roles.planes
    halo, align = D.halo, D.align
    block = 2 * align if align > 4 else 8
    side = -(-(2 * halo + block + 4 * align + 16) // align) * align
    first = (side // 2 - block // 2) // align * align
    low, high = max(first - halo, 0), first + block + halo
    rng = np.random.default_rng(0)
    x = rng.random((planes, side, side), dtype=np.float32)
    x = x if planes > 1 else x[0]
    inside = (..., slice(first, first + block), slice(first, first + block))
    window = (..., slice(low, high), slice(low, high))
    other = 8 * rng.random(x.shape, dtype=np.float32) - 4
    other[window] = x[window]
    whole = D(x)[inside]
    if not np.array_equal(D(other)[inside], whole):
        return "WRONG halo"
    nearer = (..., slice(low + 1, high - 1), slice(low + 1, high - 1))
    other = x + np.float32(1e3) * rng.standard_normal(x.shape, dtype=np.float32)
    other[nearer] = x[nearer]
    return "right, to the pixel" if not np.array_equal(D(other)[inside], whole) else "right"


def ended(path: Path, problem: Path, flags: tuple[str, ...]) -> str:
    """How a run of few updates on two ranks ends."""
    output = problem.with_name("result.h5")
    given = ("--denoiser", path, *flags, "--epochs", "2", "--threads", "1", "--overwrite")
    done = launched(mpirun(), "-n", "2", *ASYNCRED, "run", problem, "-o", output, *given)
    if "Traceback" in done.stderr:
        return "Traceback"
    if done.returncode in (0, 4):
        snr = re.findall(r"SNR ([\d.-]+) dB", done.stdout)
        return f"{snr[-1]} dB" if snr else "done"
    return f"exit {done.returncode}: {done.stderr.strip().splitlines()[-1][:160]}"


def launched(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command that has ended, after 120 s at the latest."""
    words, env = [*map(str, command)], os.environ | ENVIRONMENT
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)


if __name__ == "__main__":
    main()
