"""The denoisers that a user names: shipped ones or ONNX files, tried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.denoisers.provider import fast_at_int8
from asyncred.denoisers.shipped import find_model, model_names, model_path
from asyncred.denoisers.tiles import EXACT, proved, try_windows, within
from asyncred.errors import InputError
from asyncred.files.problem import Problem
from asyncred.files.problem.kinds import Prior
from asyncred.grid import BlockGrid
from asyncred.runtime.config import DenoiserConfig


def chosen(asked: DenoiserConfig, prior: Prior) -> DenoiserConfig:
    """The denoiser that is meant: that of the kind of problem where none was named."""
    if asked.name is not None:
        return asked
    path = model_path(prior.denoiser)
    told = asked.sigma is None and path is not None and inspect_denoiser(path).conditional
    return replace(asked, name=prior.denoiser, sigma=prior.level if told else asked.sigma)


def find_denoiser(asked: DenoiserConfig, grid: BlockGrid | None = None) -> DenoiserModel:
    """One that has a name, for blocks as those of a grid. Raises ValueError."""
    assert asked.name is not None, "by chosen()"
    model = find_model(
        asked.name,
        output=asked.output,
        value_range=asked.range,
        halo=asked.halo,
        align=asked.align,
        sigma=asked.sigma,
        inputs=asked.inputs,
    )
    if isinstance(asked.halo, str):
        return within(model, float(asked.halo.removeprefix("auto:")), grid)
    return model


def load_model(asked: DenoiserConfig, problem: Problem) -> tuple[DenoiserModel, float]:
    """The denoiser of a run, and how far its tiles differ from the whole. Raises ValueError."""
    grid = problem.grid
    model = find_denoiser(asked, grid)
    _check_values(model, problem)
    model, error = proved(model, grid)
    if asked.name not in model_names():
        try_windows(model, grid)
    if model.halo_known and error > EXACT:
        raise InputError(
            f"{model.path}: tiles with the halo of {model.field.halo} read from its graph differ "
            f"by {error:.1e} from the whole, expected at most {EXACT:.0e}; "
            "--halo N accepts a halo of your own"
        )
    return model, error


def _check_values(model: DenoiserModel, problem: Problem) -> None:
    """Raise ValueError where the denoiser is for complex images and the image is real."""
    if model.roles.planes == 2 and np.dtype(problem.data.dtype).kind != "c":
        raise InputError(
            f"{model.path}: takes the real and the imaginary part of complex images as two "
            f"channels, found real ones in {problem.path}; expected a denoiser with one or three"
        )


def tiles_said(model: DenoiserModel, error: float) -> str:
    """How far tiles are from the whole, of values from 0 to 1."""
    if model.halo_known and error <= EXACT:
        return f"tiles equal the whole to {error:.0e}"
    return f"tiles differ from the whole by up to {error:.1e} of black to white (INEXACT)"


def inexact(what: Mapping[str, Any]) -> str:
    """What a result says of how far tiles were from the whole, where they were."""
    if what["halo_exact"]:
        return ""
    error = what.get("tile_error")
    return ", INEXACT" + (f": tiles differ by up to {error:.1e}" if error is not None else "")


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
    draft = find_model(name, output=asked.output, value_range=asked.range, sigma=asked.sigma)
    if draft.roles.planes != model.roles.planes:
        raise InputError(f"--draft {name}: takes other channels than {model.path}")
    shape, expected = ((found.field.halo, found.field.align) for found in (draft, model))
    if shape != expected:
        raise InputError(
            f"--draft {name}: halo and alignment are {shape}, expected those of {model.path}: "
            f"{expected}"
        )
    return draft
