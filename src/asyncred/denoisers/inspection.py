"""What an ONNX file does as a denoiser, found by its graph and by trying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from asyncred.denoisers.metadata import (
    CLEAN,
    DEFAULT_SIGMA,
    POTENTIAL,
    read_levels,
    read_metadata,
    stated_numbers,
)
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser, open_session
from asyncred.denoisers.receptive import (
    ReceptiveField,
    UnboundedReceptiveFieldError,
    receptive_field,
)

NOISE_LEFT = 0.99
"""A denoiser leaves less than this share of the noise of a picture; the identity leaves it all."""

EXPECTED = (
    "expected one float32 input [n, 1, h, w] with free h and w, maybe a second named sigma, and "
    "one output like the first, or two of them named clean and potential"
)


def inspect_denoiser(
    path: Path,
    *,
    output: str = "auto",
    value_range: tuple[float, float] | None = None,
    halo: int | None = None,
    sigma: float | None = None,
) -> DenoiserModel:
    """Read an ONNX file and find out, by its graph and by trying it, what it does.

    ``output`` is ``image``, ``noise`` or ``auto``; ``value_range`` the network's values for 0 and
    1; both default to what the file's metadata says, else to a trial and to (0, 1). ``halo``
    stands in where the graph gives no bound. ``sigma`` is the noise level, in [0, 1], for a
    conditional network; it defaults to that of the metadata, else to ``DEFAULT_SIGMA``.

    Raises ValueError, naming the file and what was expected, where it is no denoiser.
    """
    graph, session = _open(path)
    metadata = read_metadata(graph)
    batch, conditional = _check_inputs(path, session)
    potential = _check_outputs(path, session)
    low, high = value_range or stated_numbers(path, metadata, "asyncred.range", 2) or (0.0, 1.0)
    level, levels = read_levels(path, metadata, conditional, sigma)
    field, known = _field(path, graph, halo)
    if output == "auto":
        output = _stated_output(path, metadata)
    parameters = sum(int(np.prod(item.dims)) for item in graph.graph.initializer)
    model = DenoiserModel(
        path,
        output,
        low,
        high,
        field,
        batch,
        parameters,
        level,
        known,
        conditional,
        levels,
        potential,
    )
    model = replace(model, output=_try_out(model))
    return model if halo is None else model.with_halo(halo)


def _field(path: Path, graph: onnx.ModelProto, halo: int | None) -> tuple[ReceptiveField, bool]:
    """The receptive field, by the graph (True) or else by ``halo``. Raises ValueError."""
    try:
        return receptive_field(graph), True
    except UnboundedReceptiveFieldError as error:
        if halo is None:
            raise ValueError(
                f"{path}: no bound on the receptive field ({error}); --halo N sets one, inexactly"
            ) from None
        return ReceptiveField(halo, 1), False


def _stated_output(path: Path, metadata: Mapping[str, str]) -> str:
    """What the file says that it returns, auto where it says nothing. Raises ValueError."""
    output = metadata.get("asyncred.output", "auto")
    if output not in ("auto", "image", "noise"):
        raise ValueError(f"{path}: metadata asyncred.output is {output!r}, expected image or noise")
    return output


def _open(path: Path) -> tuple[onnx.ModelProto, ort.InferenceSession]:
    try:
        return onnx.load(str(path)), open_session(path, 1)
    except Exception as error:  # both libraries raise classes of their own
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(f"{path}: expected an ONNX model, cannot load it: {reason}") from None


def _check_inputs(path: Path, session: ort.InferenceSession) -> tuple[int, bool]:
    """The batch size, 1 where it is free; whether sigma is an input. Raises ValueError."""
    inputs = session.get_inputs()
    conditional = len(inputs) == 2 and inputs[1].name == "sigma"
    if len(inputs) != 1 + conditional:
        raise ValueError(f"{path}: {_counted(session)}; {EXPECTED}")
    shape, kind = inputs[0].shape, inputs[0].type
    fits = len(shape) == 4 and (shape[1] == 1 or not isinstance(shape[1], int))
    free = len(shape) == 4 and not any(isinstance(side, int) for side in shape[2:])
    if kind != "tensor(float)" or not fits or not free:
        raise ValueError(f"{path}: input is {kind} {shape}; {EXPECTED}")
    if conditional and (
        inputs[1].type != "tensor(float)"
        or any(isinstance(side, int) and side != 1 for side in inputs[1].shape)
    ):
        raise ValueError(
            f"{path}: input sigma is {inputs[1].type} {inputs[1].shape}; expected float32, "
            "each of its sides 1 or free"
        )
    return (shape[0] if isinstance(shape[0], int) else 1), conditional


def _check_outputs(path: Path, session: ort.InferenceSession) -> bool:
    """Whether the potential is an output beside the image. Raises ValueError."""
    names = sorted(value.name for value in session.get_outputs())
    if len(names) != 1 and names != [CLEAN, POTENTIAL]:
        raise ValueError(f"{path}: {_counted(session)}; {EXPECTED}")
    return len(names) == 2


def _counted(session: ort.InferenceSession) -> str:
    return f"{len(session.get_inputs())} inputs and {len(session.get_outputs())} outputs"


def _try_out(model: DenoiserModel) -> str:
    """``image`` or ``noise``: which of both the network returns for a smooth, noisy picture.

    A conditional one is tried at ``DEFAULT_SIGMA`` at least, where noise shows beside the picture.
    """
    if model.conditional and model.sigma:
        high = model.sigma_range[1] if model.sigma_range else DEFAULT_SIGMA
        model = replace(model, sigma=max(model.sigma, min(DEFAULT_SIGMA, high)))
    side = -(-96 // model.field.align) * model.field.align
    rows, cols = np.mgrid[:side, :side] / side
    clean = (0.5 + 0.3 * np.sin(5 * rows) * np.cos(4 * cols)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    noise *= np.float32(model.sigma or 15 / 255)
    errors = {}
    for output in ("image", "noise"):
        D = OnnxDenoiser(replace(model, output=output), threads=1)
        outputs = D.with_potential(clean + noise) if model.has_potential else (D(clean + noise),)
        for found in outputs:
            if found.shape != clean.shape:
                raise ValueError(
                    f"{model.path}: expected an output of the input's shape, "
                    f"found {found.shape} for {clean.shape}"
                )
        errors[output] = float(np.linalg.norm(outputs[0] - clean) / np.linalg.norm(noise))
    best = min(errors, key=lambda key: errors[key]) if model.output == "auto" else model.output
    if not errors[best] < NOISE_LEFT:
        raise ValueError(
            f"{model.path}: no denoiser: it leaves {errors[best]:.3g} times the noise of a test "
            f"picture, expected less than {NOISE_LEFT} "
            f"(is its range {model.low:g}..{model.high:g}?)"
        )
    return best
