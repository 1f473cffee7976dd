"""D, the denoiser: any ONNX network, applied to windows of the image.

The network takes float32 [n, 1, h, w] and returns either the clean image or the noise, in the
same shape; h and w are free. A conditional one takes the noise level too, as a second input
``sigma``. Its halo is the radius of its receptive field, so that block i of ``D(window)`` equals
block i of ``D(x)`` to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from asyncred.denoisers.metadata import DEFAULT_SIGMA, read_levels, read_metadata, stated_numbers
from asyncred.denoisers.provider import CPU, Provider
from asyncred.denoisers.receptive import (
    ReceptiveField,
    UnboundedReceptiveFieldError,
    receptive_field,
)
from asyncred.grid import BlockGrid

Array = NDArray[np.float32]

EXACT = 1e-5
"""A tiled denoiser is exact where it differs from the whole by no more than this, in [0, 1]."""

NOISE_LEFT = 0.99
"""A denoiser leaves less than this share of the noise of a picture; the identity leaves it all."""


class Denoiser(Protocol):
    """D: float32 [h, w] in [0, 1] to the same, with what a window must add to a block."""

    halo: int
    align: int

    def __call__(self, x: Array) -> Array:
        """D(x)."""
        ...


@dataclass(frozen=True)
class DenoiserModel:
    """An ONNX file and what is known of it; ``inspect_denoiser`` makes one."""

    path: Path
    output: str
    """``image`` where the network returns the clean image, ``noise`` where it returns the noise."""
    low: float
    high: float
    """The values of the network that stand for 0 and 1."""
    field: ReceptiveField
    batch: int
    """Images in a batch; 1 where that is free."""
    parameters: int
    sigma: float | None
    """Noise level in [0, 1]: the one in use if conditional, else the file's, where it says one."""
    halo_known: bool
    """Whether the graph bounds the receptive field."""
    conditional: bool = False
    """Whether the network takes the noise level as an input."""
    sigma_range: tuple[float, float] | None = None
    """Noise levels that a conditional network was made for, where the file says so."""

    @property
    def level(self) -> float | None:
        """The noise level that a conditional network is told, in units of 1/255; else None."""
        return round(255 * self.sigma, 6) if self.conditional and self.sigma else None

    def with_halo(self, halo: int) -> DenoiserModel:
        """The same with a halo that the user chose."""
        return replace(self, field=replace(self.field, halo=halo))


class OnnxDenoiser:
    """A DenoiserModel in an ONNX Runtime session.

    ``threads`` is the number of threads of the session. Raises ValueError where ``provider`` does
    not start. Sides that are no multiple of the total
    stride of the network are filled up to one by repeating the last row and column; the answer is
    cut to the shape of x.
    """

    def __init__(self, model: DenoiserModel, *, threads: int, provider: Provider = CPU) -> None:
        self.halo, self.align = model.field.halo, model.field.align
        self._model = model
        self._session = open_session(model.path, threads, provider)
        self._inputs = self._session.get_inputs()
        self._scale = np.float32(model.high - model.low)
        self._low = np.float32(model.low)
        self._unit = model.low == 0 and model.high == 1

    def __call__(self, x: Array) -> Array:
        """D(x), float32 [h, w]."""
        out = self._network(x)
        if self._model.output == "noise":
            return np.asarray(x - (out if self._unit else out / self._scale), np.float32)
        return out if self._unit else np.asarray((out - self._low) / self._scale, np.float32)

    def feeds(self, x: Array) -> dict[str, Array]:
        """What the network is given for x, by input: float32 [n, 1, h, w], and maybe sigma."""
        image = fill(x, self.align)
        if not self._unit:
            image = image * self._scale + self._low
        batch = np.repeat(image[None, None], self._model.batch, axis=0)
        feeds = {self._inputs[0].name: np.ascontiguousarray(batch, np.float32)}
        if self._model.conditional:
            sigma = np.float32(self._model.sigma) * self._scale
            feeds["sigma"] = np.full([1] * len(self._inputs[1].shape), sigma, np.float32)
        return feeds

    def _network(self, x: Array) -> Array:
        try:
            out: Array = self._session.run(None, self.feeds(x))[0][0, 0]
        except Exception as error:  # ONNX Runtime raises classes of its own
            reason = str(error).strip().splitlines()[0][:200]
            raise ValueError(f"{self._model.path}: fails on {x.shape} pixels: {reason}") from error
        return out[: x.shape[0], : x.shape[1]]


def fill(x: Array, align: int) -> Array:
    """x with its last row and column repeated until ``align`` divides both sides."""
    rows, cols = (-side % align for side in x.shape)
    return np.pad(x, ((0, rows), (0, cols)), mode="edge") if rows or cols else x


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
    batch, conditional = _check_signature(path, session)
    low, high = value_range or stated_numbers(path, metadata, "asyncred.range", 2) or (0.0, 1.0)
    level, levels = read_levels(path, metadata, conditional, sigma)
    field, known = _field(path, graph, halo)
    if output == "auto":
        output = _stated_output(path, metadata)
    parameters = sum(int(np.prod(item.dims)) for item in graph.graph.initializer)
    model = DenoiserModel(
        path, output, low, high, field, batch, parameters, level, known, conditional, levels
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


def halo_error(model: DenoiserModel) -> float:
    """``tiling_error`` of a model; NaN where its graph gives no bound, and nothing is claimed."""
    return tiling_error(OnnxDenoiser(model, threads=1)) if model.halo_known else math.nan


def tiling_error(D: Denoiser) -> float:
    """max |U_i^T D(x) - D_i(window)| on an image of noise: the halo proved numerically.

    The image is large enough for a block that no border reaches; x in [0, 1].
    """
    block = -(-16 // D.align) * D.align
    rings = -(-2 * D.halo // block) + 1
    side = (2 * rings + 1) * block
    grid = BlockGrid((side, side), (block, block))
    x = np.random.default_rng(0).random((side, side), dtype=np.float32)
    whole = D(x)
    middle = rings * (2 * rings + 1) + rings
    error = 0.0
    for i in (0, 1, middle):
        window = grid.window(i, D.halo, D.align)
        tile = D(x[window.region])[window.inner]
        error = max(error, float(np.abs(tile - whole[grid.block(i)]).max()))
    return error


def open_session(
    model: Path | bytes, threads: int, provider: Provider = CPU
) -> ort.InferenceSession:
    """An ONNX Runtime session of a file or of a serialized model.

    Raises ValueError where the provider does not start; the session never changes to another.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    return provider.open(source, options, threads)


def _open(path: Path) -> tuple[onnx.ModelProto, ort.InferenceSession]:
    try:
        return onnx.load(str(path)), open_session(path, 1)
    except Exception as error:  # both libraries raise classes of their own
        reason = str(error).strip().splitlines()[0][:200]
        raise ValueError(f"{path}: expected an ONNX model, cannot load it: {reason}") from None


def _check_signature(path: Path, session: ort.InferenceSession) -> tuple[int, bool]:
    """The batch size, 1 where it is free; whether sigma is an input. Raises ValueError."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    conditional = len(inputs) == 2 and inputs[1].name == "sigma"
    expected = (
        "expected one float32 input [n, 1, h, w] with free h and w, maybe a second named sigma, "
        "and one output like the first"
    )
    if len(inputs) != 1 + conditional or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ValueError(f"{path}: {found}; {expected}")
    shape, kind = inputs[0].shape, inputs[0].type
    fits = len(shape) == 4 and (shape[1] == 1 or not isinstance(shape[1], int))
    free = len(shape) == 4 and not any(isinstance(side, int) for side in shape[2:])
    if kind != "tensor(float)" or not fits or not free:
        raise ValueError(f"{path}: input is {kind} {shape}; {expected}")
    if conditional and (
        inputs[1].type != "tensor(float)"
        or any(isinstance(side, int) and side != 1 for side in inputs[1].shape)
    ):
        raise ValueError(
            f"{path}: input sigma is {inputs[1].type} {inputs[1].shape}; expected float32, "
            "each of its sides 1 or free"
        )
    return (shape[0] if isinstance(shape[0], int) else 1), conditional


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
        found = OnnxDenoiser(replace(model, output=output), threads=1)(clean + noise)
        if found.shape != clean.shape:
            raise ValueError(
                f"{model.path}: expected an output of the input's shape, "
                f"found {found.shape} for {clean.shape}"
            )
        errors[output] = float(np.linalg.norm(found - clean) / np.linalg.norm(noise))
    best = min(errors, key=lambda key: errors[key]) if model.output == "auto" else model.output
    if not errors[best] < NOISE_LEFT:
        raise ValueError(
            f"{model.path}: no denoiser: it leaves {errors[best]:.3g} times the noise of a test "
            f"picture, expected less than {NOISE_LEFT} "
            f"(is its range {model.low:g}..{model.high:g}?)"
        )
    return best
