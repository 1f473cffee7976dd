"""D, the denoiser: any ONNX network, applied to windows of the image.

The network takes float32 [n, 1, h, w] and returns either the clean image or the noise, in the
same shape; h and w are free. A conditional one takes the noise level too, as a second input
``sigma``. Its halo is the radius of its receptive field, so that block i of ``D(window)`` equals
block i of ``D(x)`` to rounding.

A network with the outputs ``clean`` and ``potential`` says that D(x) = x - grad g(x), where g(x) is
the sum of its second output over the pixels (``denoisers.potential`` writes such networks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from asyncred.denoisers.metadata import CLEAN, POTENTIAL
from asyncred.denoisers.provider import CPU, Provider
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.grid import BlockGrid

Array = NDArray[np.float32]

EXACT = 1e-5
"""A tiled denoiser is exact where it differs from the whole by no more than this, in [0, 1]."""


class Denoiser(Protocol):
    """D: float32 [h, w] in [0, 1] to the same, with what a window must add to a block."""

    halo: int
    align: int

    def __call__(self, x: Array) -> Array:
        """D(x)."""
        ...

    def with_potential(self, x: Array) -> tuple[Array, Array]:
        """D(x) and the share of each pixel in g(x), where D = x - grad g; both [h, w].

        The shares of the pixels of a block, with the halo around it, are those in the whole image:
        over all blocks they sum to g(x). Raises ValueError where D has no potential.
        """
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
    has_potential: bool = False
    """Whether the network returns the potential of D too."""

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
    cut to the shape of x. (So D is the gradient step of its potential exactly where they are one.)
    """

    def __init__(self, model: DenoiserModel, *, threads: int, provider: Provider = CPU) -> None:
        self.halo, self.align = model.field.halo, model.field.align
        self._model = model
        self._session = open_session(model.path, threads, provider)
        self._inputs = self._session.get_inputs()
        outputs = [value.name for value in self._session.get_outputs()]
        self._outputs = [CLEAN, POTENTIAL] if model.has_potential else outputs[:1]
        self._scale = np.float32(model.high - model.low)
        self._low = np.float32(model.low)
        self._unit = model.low == 0 and model.high == 1

    def __call__(self, x: Array) -> Array:
        """D(x), float32 [h, w]."""
        return self._clean(x, self._network(x, self._outputs[:1])[0])

    def with_potential(self, x: Array) -> tuple[Array, Array]:
        """D(x) and each pixel's share of its potential. Raises ValueError where it has none.

        In the network's own values, s x + low, the potential is s^2 times as large.
        """
        if not self._model.has_potential:
            raise ValueError(f"{self._model.path}: has no potential")
        out, potential = self._network(x, self._outputs)
        return self._clean(x, out), potential if self._unit else potential / self._scale**2

    def _clean(self, x: Array, out: Array) -> Array:
        """D(x) from what the network returned."""
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

    def _network(self, x: Array, outputs: list[str]) -> list[Array]:
        """What the network returns for x, each cut to the shape of x."""
        try:
            found = self._session.run(outputs, self.feeds(x))
        except Exception as error:  # ONNX Runtime raises classes of its own
            reason = str(error).strip().splitlines()[0][:200]
            raise ValueError(f"{self._model.path}: fails on {x.shape} pixels: {reason}") from error
        return [out[0, 0, : x.shape[0], : x.shape[1]] for out in found]


def fill(x: Array, align: int) -> Array:
    """x with its last row and column repeated until ``align`` divides both sides."""
    rows, cols = (-side % align for side in x.shape)
    return np.pad(x, ((0, rows), (0, cols)), mode="edge") if rows or cols else x


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
