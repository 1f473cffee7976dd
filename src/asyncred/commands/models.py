"""``asyncred models``: the shipped denoisers; what an ONNX file is; its gradient step."""

from __future__ import annotations

from pathlib import Path

from asyncred.denoisers.appraise import (
    gflop_per_pixel,
    photograph_quality,
    worst_hessian,
    worst_norm,
)
from asyncred.denoisers.bound import layer_bound, stated_bound
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.denoisers.potential import write_potential
from asyncred.denoisers.shipped import find_model, model_names
from asyncred.denoisers.tiles import proved
from asyncred.files.whole import check_writable, written_whole
from asyncred.runtime.denoising import tiles_said

ROUNDING = 1e-3
"""By which a norm may pass a bound without contradicting it."""

WORSE = (
    ", WORSE than the noisy one: is its range another (--denoiser-range LOW:HIGH), or was it made "
    "for stronger noise?"
)

GRADIENT = 1e-2
"""By which a change of the potential, or J_D, may differ from what its gradient step has."""


def list_models() -> str:
    """The shipped denoisers, a line each."""
    lines = []
    for name in model_names():
        model = find_model(name)
        lines.append(f"{name}: {level(model)}, halo {model.field.halo}, {_size(model)}")
    return "\n".join(lines)


def describe_model(model: DenoiserModel) -> str:
    """What an ONNX file does, found by its graph and by trying it. Raises ValueError."""
    model, error = proved(model)
    quality, norm = photograph_quality(model), worst_norm(model)
    return "\n".join(
        [
            f"{model.path}",
            *_taken(model),
            f"returns the {model.output}; range {model.low:g} to {model.high:g}; {level(model)}",
            f"halo {model.field.halo} pixels, windows aligned to {model.field.align}, "
            f"{_size(model)}",
            tiles_said(model, error),
            f"photograph with noise of {255 * quality.sigma:.4g}/255: PSNR "
            f"{quality.before:.2f} dB, denoised {quality.after:.2f} dB"
            + (WORSE if quality.after < quality.before else ""),
            f"stretches small differences up to {norm.value:.4g} times: norm of its Jacobian at "
            f"{norm.points} points, by {norm.method}"
            + ("; expansive there" if norm.value > 1 + ROUNDING else ""),
            *_potential(model),
            _bound(model, norm.value),
            *(f"note: {note}" for note in model.notes),
        ]
    )


def derive_potential(N: DenoiserModel, path: Path, *, overwrite: bool) -> str:
    """Write the gradient step of an ordinary denoiser, with its potential; what was written.

    The file appears whole or not at all. Raises ValueError where that step is no denoiser, too.
    """
    check_writable(path, overwrite=overwrite)
    with written_whole(path) as temporary:
        write_potential(N, temporary, name=path.stem)
        try:
            inspect_denoiser(temporary, sigma=N.sigma if N.conditional else None)
        except ValueError as error:
            raise ValueError(str(error).replace(str(temporary), str(path))) from None
    return (
        f"wrote {path}: D(x) = x - grad g(x) with g(x) = |x - N(x)|^2 / 2, N from {N.path}; "
        "the second output is g, pixel by pixel"
    )


def level(model: DenoiserModel) -> str:
    """The noise level of a model in words."""
    if model.sigma is None:
        return "sigma unknown"
    level = f"sigma {255 * model.sigma:.4g}/255"
    if model.sigma_range is None:
        return f"{level}, an input" if model.conditional else level
    low, high = model.sigma_range
    return f"{level}, an input, {255 * low:.4g} to {255 * high:.4g}"


def _taken(model: DenoiserModel) -> list[str]:
    """How the network is used, where that is not as usual."""
    roles, found = model.roles, []
    if roles.plain:
        return []
    found.append(
        {1: "one channel", 2: "two channels, the parts of complex values"}.get(
            roles.channels, "three colours, of a gray image the same three times, their mean taken"
        )
    )
    forms = {
        "number": f"noise level as the number {roles.level}",
        "map": f"noise level as the map {roles.level}",
        "last": "noise level as the last channel",
        "first": "noise level as the first channel",
    }
    found += [forms[roles.form]] if roles.form else []
    found += ["size of the image freed"] if roles.fixed else []
    found += ["cast from float32 and back"] if roles.converted else []
    return [f"image {roles.image} as {roles.layout}, output {roles.output}: {'; '.join(found)}"]


def _potential(model: DenoiserModel) -> list[str]:
    """What the potential of D is, in words."""
    if not model.has_potential:
        return ["potential: none in the file"]
    found = worst_hessian(model)
    wrong = max(found.error, found.asymmetry) > GRADIENT
    return [
        f"potential g: its Hessian, I - J_D, has eigenvalues from {found.low:.4g} to "
        f"{found.high:.4g} at {found.points} points ({found.method})",
        f"D(x) differs from x - grad g(x) by {found.error:.1e} of grad g(x); J_D is symmetric "
        f"to {found.asymmetry:.1e}" + (": NOT the gradient step of g" if wrong else ""),
    ]


def _size(model: DenoiserModel) -> str:
    return f"{model.parameters} parameters, {gflop_per_pixel(model):.2g} GFLOP per pixel"


def _bound(model: DenoiserModel, norm: float) -> str:
    """The proven Lipschitz constant in words; a stated one that a point contradicts is none."""
    stated = stated_bound(model)
    if stated is None:
        found = layer_bound(model)
        return (
            "Lipschitz constant: no bound known"
            if found is None
            else (f"Lipschitz constant: at most {found:.4g}, the product of those of its layers")
        )
    wrong = norm > stated * (1 + ROUNDING)
    return f"Lipschitz constant: at most {stated:.4g}, as its file states" + (
        ", WRONGLY: it stretches more" if wrong else ""
    )
