"""What a network does with a noisy picture: which output it has, for which values and levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asyncred.denoisers.metadata import DEFAULT_SIGMA
from asyncred.denoisers.onnx import Array, DenoiserModel, OnnxDenoiser
from asyncred.denoisers.pictures import smooth

NOISE_LEFT = 0.99
"""A denoiser leaves less than this share of the noise of a picture; the identity leaves it all."""

LEVELS = (1 / 255, 2.5 / 255, 5 / 255, 10 / 255, 25 / 255, 50 / 255)
"""At which a network of unknown level is tried."""

RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
"""Values for black and white that networks are made for, the usual one first."""

UNITS = ((0.0, 1.0, 255.0), (0.0, 255.0, 1 / 255))
"""Values, and the factor of a level told in the unit of the other one."""

SIDE, SMALL = 96, 64
LARGE = 2_000_000
"""Parameters above which the picture is small."""

SHARE = 0.85
"""Ranges with which a network removes at least this share of what it can are possible ones."""

CLEAR = 0.3
"""Share of the noise that a network removes if it can be told for which range it was made."""

KEPT = 0.5
"""Of a picture: what has less of it in it has lost it, as gray everywhere has."""

SHIFTED = 1e-2
"""Of the noise: D commutes with adding a constant where it differs by less."""


@dataclass(frozen=True)
class Trial:
    """How a network was used, and which share of the noise it left."""

    output: str
    low: float
    high: float
    gain: float
    sigma: float
    left: float

    @property
    def removed(self) -> float:
        """The share of the noise that it removed."""
        return 1 - self.left


def try_out(model: DenoiserModel, values: tuple[float, float] | None) -> DenoiserModel:
    """The same network with the output, range and unit that suit it, as far as they are not known.

    ``model.output`` may be ``auto``; ``values`` is the range, None where nobody said it. Of a
    network for one range the values of another lie outside of what it was trained on, and it
    leaves more noise there. The widest range is taken with which it does well: on a part of its
    values it does well too. Raises ValueError where it is no denoiser.
    """
    D = OnnxDenoiser(model, threads=1)
    ranges = [values] if values else RANGES[:: 2 if model.roles.planes == 2 else 1]
    trials = {pair: _best(model, D, (*pair, 1.0)) for pair in ranges}
    chosen = _chosen(model, D, trials) if values is None else trials[values]
    if chosen.left >= NOISE_LEFT and values is None and model.conditional:
        chosen = min((_best(model, D, unit) for unit in UNITS), key=lambda one: one.left)
    if not chosen.left < NOISE_LEFT:
        tried = ", ".join(f"{low:g}..{high:g}" for low, high in ranges)
        raise ValueError(
            f"{model.path}: no denoiser: it leaves {chosen.left:.3g} times the noise of a test "
            f"picture, expected less than {NOISE_LEFT} (is its range {tried}? --denoiser-range "
            "LOW:HIGH says another, --denoiser-output what it returns)"
        )
    return replace(
        model,
        output=chosen.output,
        low=chosen.low,
        high=chosen.high,
        gain=chosen.gain,
        notes=(*model.notes, *_notes(chosen, values is not None)),
    )


def noise_left(model: DenoiserModel) -> float:
    """The least share of noise that a network leaves in any range. Raises ValueError."""
    D = OnnxDenoiser(model, threads=1)
    return min(_best(model, D, (*pair, 1.0)).left for pair in RANGES)


def _notes(chosen: Trial, known: bool) -> Iterator[str]:
    if not known and (chosen.low, chosen.high) != RANGES[0]:
        yield (
            f"by a trial the denoiser works on values from {chosen.low:g} to {chosen.high:g}; "
            "--denoiser-range LOW:HIGH says otherwise"
        )
    if chosen.gain != 1:
        unit = "1/255" if chosen.gain > 1 else "the range 0 to 1"
        yield f"by a trial the denoiser is told the noise level in units of {unit}"


def _chosen(
    model: DenoiserModel, D: OnnxDenoiser, trials: dict[tuple[float, float], Trial]
) -> Trial:
    """Of several ranges that with which the network was made, as far as that shows."""
    usual = trials[RANGES[0]]
    others = [one for pair, one in trials.items() if pair != RANGES[0]]
    best = min(trials.values(), key=lambda one: one.left)
    if best.left >= NOISE_LEFT:
        return usual
    if usual.left >= NOISE_LEFT:
        return best
    if model.roles.planes == 2 or _commutes(model, D, usual):
        bytes_ = trials[RANGES[2]]
        return bytes_ if bytes_.left < usual.left / 2 else usual
    if best.removed < CLEAR:
        return usual
    possible = [one for one in (usual, *others) if one.removed >= SHARE * best.removed]
    widest = max(possible, key=lambda one: one.high - one.low)
    alike = usual in possible and abs(usual.left - widest.left) < 1e-3 * usual.left
    return usual if alike else widest


def _best(model: DenoiserModel, D: OnnxDenoiser, values: tuple[float, float, float]) -> Trial:
    """The output and level with which a network leaves least noise. Raises ValueError."""
    low, high, gain = values
    side = SMALL if model.parameters > LARGE else SIDE
    side = -(-side // model.field.align) * model.field.align
    clean, noise = smooth(side, model.roles.planes)
    found = []
    for sigma in _levels(model):
        told = sigma if model.conditional else model.sigma
        used = replace(model, output="image", low=low, high=high, gain=gain, sigma=told)
        x = clean + np.float32(sigma) * noise
        y = _denoised(D.used_as(used), used, x)
        rest = {"image": y, "noise": x - y - np.float32(low / (high - low))}
        outputs = [model.output] if model.output != "auto" else [*rest]
        for output in outputs:
            found.append(Trial(output, low, high, gain, sigma, _left(rest[output], x, clean)))
    return min(found, key=lambda one: one.left)


def _left(y: Array, x: Array, clean: Array) -> float:
    """The share of the noise that y has; at least 1 where it has lost the picture, or is NaN."""
    left = float(np.linalg.norm(y - clean) / np.linalg.norm(x - clean))
    detail = clean - clean.mean()
    kept = float(np.vdot(detail, y) / np.vdot(detail, detail))
    return left if kept > KEPT else max(left, 1.0) if np.isfinite(left) else np.inf


def _levels(model: DenoiserModel) -> Sequence[float]:
    """A conditional network is tried at DEFAULT_SIGMA at least, where noise shows."""
    if model.conditional and model.sigma:
        high = model.sigma_range[1] if model.sigma_range else DEFAULT_SIGMA
        return [max(model.sigma, min(DEFAULT_SIGMA, high))]
    return [model.sigma] if model.sigma else LEVELS


def _denoised(D: OnnxDenoiser, model: DenoiserModel, x: Array) -> Array:
    outputs = D.with_potential(x) if model.has_potential else (D(x),)
    for found in outputs:
        if found.shape != x.shape:
            raise ValueError(
                f"{model.path}: expected an output of the input's shape, "
                f"found {found.shape} for {x.shape}"
            )
    return outputs[0]


def _commutes(model: DenoiserModel, D: OnnxDenoiser, trial: Trial) -> bool:
    """Whether D(x + c) is D(x) + c: then nothing tells ranges of the same width apart."""
    side = -(-SMALL // model.field.align) * model.field.align
    clean, noise = smooth(side, model.roles.planes)
    told = trial.sigma if model.conditional else model.sigma
    used = replace(model, output=trial.output, low=0.0, high=1.0, gain=trial.gain, sigma=told)
    D, e = D.used_as(used), np.float32(trial.sigma) * noise
    c = np.float32(0.25)
    inside = (..., slice(16, -16), slice(16, -16))
    apart = (D(clean + e + c) - c - D(clean + e))[inside]
    return float(np.linalg.norm(apart)) < SHIFTED * float(np.linalg.norm(e[inside]))
