"""D, the denoiser: any ONNX network, applied to windows of the image.

The network takes an image, maybe with the noise level, and returns either the clean image or the
noise, in the same shape; ``denoisers.roles`` says in which forms. Its halo is the radius of its
receptive field, so that block i of ``D(window)`` equals block i of ``D(x)`` to rounding.

A network with the outputs ``clean`` and ``potential`` says that D(x) = x - grad g(x), where g(x) is
the sum of its second output over the pixels (``denoisers.potential`` writes such networks).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from asyncred.denoisers.border import RESULT, bordered
from asyncred.denoisers.folding import first_line
from asyncred.denoisers.metadata import CLEAN, POTENTIAL, read_metadata
from asyncred.denoisers.provider import CPU, Provider
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.denoisers.roles import Roles

Array = NDArray[np.float32]


POINT = ReceptiveField(0, 1)
"""Of a network that works pixel by pixel."""


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
    roles: Roles
    """Which of its tensors is what."""
    output: str = "image"
    """``image`` where the network returns the clean image, ``noise`` where it returns the noise."""
    low: float = 0.0
    high: float = 1.0
    """The values of the network that stand for 0 and 1."""
    field: ReceptiveField = POINT
    halo_known: bool = True
    """Whether the halo is at least that of the graph."""
    parameters: int = 0
    sigma: float | None = None
    """Noise level in [0, 1]: the one in use if conditional, else the file's, where it says one."""
    sigma_range: tuple[float, float] | None = None
    """The levels that a conditional network was made for, in [0, 1], where its file says them."""
    gain: float = 1.0
    """What a conditional network is told is sigma (high - low) gain."""
    notes: tuple[str, ...] = ()
    """What its user should know."""

    @property
    def conditional(self) -> bool:
        """Whether the network is told the noise level."""
        return bool(self.roles.form)

    @property
    def has_potential(self) -> bool:
        """Whether the network returns the potential of D too."""
        return self.roles.potential

    @property
    def level(self) -> float | None:
        """The noise level that a conditional network is told, in units of 1/255; else None."""
        return round(255 * self.sigma, 6) if self.conditional and self.sigma else None

    @property
    def stated(self) -> dict[str, str]:
        """What the file states of itself, by key."""
        return read_metadata(onnx.load(str(self.path), load_external_data=False))

    def network(self) -> onnx.ModelProto:
        """The network as one of float32 [n, c, h, w]. Raises ValueError where it is none."""
        return bordered(onnx.load(str(self.path)), self.roles)

    def source(self) -> Path | bytes:
        """What a session is opened of: the file, if that is used as it is."""
        if self.roles.plain:
            return self.path
        found = self.path.stat()
        return _serialized(self.path, self.roles, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=2)
def _serialized(path: Path, roles: Roles, changed: int, size: int) -> bytes:
    """Sessions are opened several times of one network, and rewriting it takes a while."""
    return bytes(bordered(onnx.load(str(path)), roles).SerializeToString())


class OnnxDenoiser:
    """A DenoiserModel in an ONNX Runtime session.

    ``threads`` is the number of threads of the session. Raises ValueError where ``provider`` does
    not start. Sides that are no multiple of the total
    stride of the network are filled up to one by repeating the last row and column; the answer is
    cut to the shape of x. (So D is the gradient step of its potential exactly where they are one.)

    x is float32 [h, w]; of a network with two channels, the parts of complex values, [2, h, w].
    """

    def __init__(self, model: DenoiserModel, *, threads: int, provider: Provider = CPU) -> None:
        self._session = open_session(model.source(), threads, provider)
        self._inputs = self._session.get_inputs()
        self._settle(model)

    def _settle(self, model: DenoiserModel) -> None:
        self.halo, self.align = model.field.halo, model.field.align
        self._model = model
        result = model.roles.output if model.roles.plain else RESULT
        self._outputs = [CLEAN, POTENTIAL] if model.has_potential else [result]
        self._scale = np.float32(model.high - model.low)
        self._low = np.float32(model.low)
        self._unit = model.low == 0 and model.high == 1

    def used_as(self, model: DenoiserModel) -> OnnxDenoiser:
        """The same session for the same network with other values, level or output."""
        other = copy.copy(self)
        other._settle(model)
        return other

    def __call__(self, x: Array) -> Array:
        """D(x), of the shape of x."""
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
        """What the network is given for x, by input: float32 [1, c, h, w], and maybe sigma."""
        image = fill(x, self.align)
        if not self._unit:
            image = image * self._scale + self._low
        batch = image[None] if x.ndim == 3 else image[None, None]
        feeds = {self._inputs[0].name: np.ascontiguousarray(batch, np.float32)}
        if self._model.conditional:
            sigma = np.float32(self._model.sigma) * self._scale * np.float32(self._model.gain)
            level = self._inputs[1]
            feeds[level.name] = np.full([1] * len(level.shape), sigma, np.float32)
        return feeds

    def _network(self, x: Array, outputs: list[str]) -> list[Array]:
        """What the network returns for x, each cut to the shape of x."""
        try:
            found = self._session.run(outputs, self.feeds(x))
        except Exception as error:  # ONNX Runtime raises classes of its own
            raise ValueError(
                f"{self._model.path}: fails on {x.shape[-2:]} pixels: {first_line(error)}"
            ) from error
        height, width = x.shape[-2:]
        cut = [out[0, ..., :height, :width] for out in found]
        return cut if x.ndim == 3 else [out[0] for out in cut]


def fill(x: Array, align: int) -> Array:
    """x with its last row and column repeated until ``align`` divides both sides."""
    rows, cols = (-side % align for side in x.shape[-2:])
    before = ((0, 0),) * (x.ndim - 2)
    return np.pad(x, (*before, (0, rows), (0, cols)), mode="edge") if rows or cols else x


def open_session(
    model: Path | bytes, threads: int, provider: Provider = CPU
) -> ort.InferenceSession:
    """An ONNX Runtime session of a file or of a serialized model.

    Raises ValueError where the provider does not start; the session never changes to another.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    return provider.open(source, options, threads)
