"""What an ONNX file states of itself, under the keys ``asyncred.*`` of its metadata.

name, license      words
output             image or noise: what the network returns
range              LOW,HIGH: its values for 0 and 1
sigma              noise level, in [0, 1], that it was made for; of a conditional one the default
sigma_range        LOW,HIGH: the levels that a conditional one was made for
lipschitz          a proven upper bound of the Lipschitz constant of D
hessian            LEVEL:HIGH,...: the largest eigenvalue found of the Hessian of its potential,
                   which is I - J_D, by noise level in [0, 1]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

CLEAN, POTENTIAL = "clean", "potential"
"""The outputs of a network that has both; a network of one output may call that as it likes."""

DEFAULT_SIGMA = 5 / 255
"""Noise level, in [0, 1], where neither the user nor the file says one."""


def read_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Values by key."""
    return {item.key: item.value for item in model.metadata_props}


def image_input(graph: onnx.GraphProto) -> str:
    """The name of the input that is the image, the first; old files list their weights too."""
    stored = {item.name for item in graph.initializer}
    return str(next(value.name for value in graph.input if value.name not in stored))


def image_output(graph: onnx.GraphProto) -> str:
    """The name of the output that is the image, or the noise: ``clean`` where there are several."""
    names = [str(value.name) for value in graph.output]
    return CLEAN if CLEAN in names else names[0]


def stated_numbers(
    path: Path, metadata: Mapping[str, str], key: str, count: int
) -> tuple[float, ...] | None:
    """The numbers that a file states under a key, None where it states none. Raises ValueError."""
    if key not in metadata:
        return None
    try:
        found = tuple(float(item) for item in metadata[key].split(","))
    except ValueError:
        found = ()
    rising = all(a < b for a, b in itertools.pairwise(found))
    if len(found) != count or not rising or not all(map(math.isfinite, found)):
        expected = "a number" if count == 1 else "LOW,HIGH"
        raise ValueError(f"{path}: metadata {key} is {metadata[key]!r}, expected {expected}")
    return found


def stated_at(
    path: Path, metadata: Mapping[str, str], key: str, level: float | None
) -> float | None:
    """What a file states under a key for a level, between those that it names; None where nothing.

    Raises ValueError.
    """
    if key not in metadata:
        return None
    try:
        pairs = [tuple(map(float, item.split(":"))) for item in metadata[key].split(",")]
        levels, values = zip(*pairs, strict=True)
    except ValueError:
        raise ValueError(
            f"{path}: metadata {key} is {metadata[key]!r}, expected LEVEL:VALUE,..."
        ) from None
    return float(np.interp(levels[-1] if level is None else level, levels, values))


def read_levels(
    path: Path, metadata: Mapping[str, str], conditional: bool, asked: float | None
) -> tuple[float | None, tuple[float, float] | None]:
    """The level in use and those that the network was made for, in [0, 1], where they are known.

    ``conditional`` says whether the network takes a level, ``asked`` which one the user wants.
    Raises ValueError, in units of 1/255.
    """
    stated = stated_numbers(path, metadata, "asyncred.sigma", 1)
    if not conditional:
        if asked is not None:
            raise ValueError(
                f"{path}: --sigma is {255 * asked:g}, expected none: the network has no input sigma"
            )
        return (stated[0] if stated else None), None
    levels = stated_numbers(path, metadata, "asyncred.sigma_range", 2)
    low, high = levels or (0.0, math.inf)
    sigma = asked if asked is not None else stated[0] if stated else DEFAULT_SIGMA
    if sigma <= 0 or not round(255 * low, 2) <= round(255 * sigma, 2) <= round(255 * high, 2):
        key = "--sigma" if asked is not None else "the default sigma"
        expected = f"{255 * low:.4g} to {255 * high:.4g}" if levels else "a number > 0"
        raise ValueError(
            f"{path}: {key} is {255 * sigma:.4g}, expected {expected}, in units of 1/255"
        )
    return sigma, (low, high) if levels else None
