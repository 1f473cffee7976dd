"""The denoisers that a user names: shipped ones or ONNX files, tried out."""

from __future__ import annotations

from dataclasses import replace

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import EXACT, DenoiserModel, halo_error
from asyncred.denoisers.provider import fast_at_int8
from asyncred.denoisers.shipped import find_model, model_names, model_path
from asyncred.errors import InputError
from asyncred.files.problem.kinds import Prior
from asyncred.runtime.config import DenoiserConfig


def chosen(asked: DenoiserConfig, prior: Prior) -> DenoiserConfig:
    """The denoiser that is meant: that of the kind of problem where none was named."""
    if asked.name is not None:
        return asked
    path = model_path(prior.denoiser)
    told = asked.sigma is None and path is not None and inspect_denoiser(path).conditional
    return replace(asked, name=prior.denoiser, sigma=prior.level if told else asked.sigma)


def find_denoiser(asked: DenoiserConfig) -> DenoiserModel:
    """One that has a name. Raises ValueError."""
    assert asked.name is not None, "by chosen()"
    return find_model(
        asked.name,
        output=asked.output,
        value_range=asked.range,
        halo=asked.halo,
        sigma=asked.sigma,
    )


def load_model(asked: DenoiserConfig) -> tuple[DenoiserModel, float]:
    """The denoiser of a run, and how far its tiles differ from the whole. Raises ValueError."""
    model = find_denoiser(asked)
    error = halo_error(model)
    if asked.halo is None and error > EXACT:
        raise InputError(
            f"{model.path}: tiles with the halo of {model.field.halo} read from its graph differ "
            f"by {error:.1e} from the whole, expected at most {EXACT:.0e}; "
            "--halo N accepts a halo of your own"
        )
    return model, error


def load_draft(
    asked: DenoiserConfig, model: DenoiserModel, *, proximal: bool
) -> DenoiserModel | None:
    """The denoiser for large steps, if one is meant. Raises ValueError where it does not fit."""
    name = asked.draft
    if name == "auto":
        name = f"{asked.name}-int8"
        fits = proximal and asked.provider in ("auto", "cpu") and asked.halo is None
        if not (fits and name in model_names() and fast_at_int8()):
            return None
    if name == "none":
        return None
    draft = find_model(
        name,
        output=asked.output,
        value_range=asked.range,
        sigma=asked.sigma,
    )
    shape, expected = ((found.field.halo, found.field.align) for found in (draft, model))
    if shape != expected:
        raise InputError(
            f"--draft {name}: halo and alignment are {shape}, expected those of {model.path}: "
            f"{expected}"
        )
    return draft
