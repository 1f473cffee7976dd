"""What an ONNX file does as a denoiser, found by its graph and by trying it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from asyncred.denoisers.folding import first_line, inputs_of, sides_of
from asyncred.denoisers.metadata import read_levels, read_metadata, stated_numbers
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.denoisers.pictures import smooth
from asyncred.denoisers.receptive import (
    ReceptiveField,
    UnboundedReceptiveFieldError,
    receptive_field,
)
from asyncred.denoisers.roles import WAY_OUT, Roles, possible_roles, read_asked
from asyncred.denoisers.tiles import found_align
from asyncred.denoisers.trial import noise_left, try_out

SIDE = 64
"""Of the picture on which it is tried whether a network runs: most strides divide it."""


def inspect_denoiser(
    path: Path,
    *,
    output: str = "auto",
    value_range: tuple[float, float] | None = None,
    halo: int | str | None = None,
    align: int | None = None,
    sigma: float | None = None,
    inputs: str | None = None,
) -> DenoiserModel:
    """Read an ONNX file and find out, by its graph and by trying it, what it does.

    ``output`` is ``image``, ``noise`` or ``auto``; ``value_range`` the network's values for 0 and
    1; both default to what the file's metadata says, else to a trial. ``halo`` and ``align`` stand
    in where the graph gives no bound; a halo in words is looked for later, by ``tiles.within``.
    ``sigma`` is the noise level, in [0, 1], for a conditional network; it defaults to that of the
    metadata, else to ``DEFAULT_SIGMA``. ``inputs`` says which tensors are the image and the level.

    Raises ValueError, naming the file and what was expected, where it is no denoiser.
    """
    graph = _load(path)
    metadata = read_metadata(graph)
    if output == "auto":
        output = _stated_output(path, metadata)
    value_range = value_range or _pair(stated_numbers(path, metadata, "asyncred.range", 2))
    base = DenoiserModel(
        path,
        Roles("", ""),
        output=output,
        parameters=sum(int(np.prod(item.dims)) for item in graph.graph.initializer),
    )
    model = _with_roles(base, graph, _asked(path, inputs, metadata), metadata, sigma)
    model = _with_field(model, halo, align)
    return try_out(model, value_range)


def _pair(numbers: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if numbers is None else (numbers[0], numbers[1])


def _asked(path: Path, inputs: str | None, metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Which tensors are what, as the user or else the file says. Raises ValueError."""
    if inputs is not None:
        return read_asked("--denoiser-inputs", inputs)
    stated = metadata.get("asyncred.inputs", "")
    return read_asked(f"{path}: metadata asyncred.inputs", stated) if stated else {}


def _with_roles(
    base: DenoiserModel,
    graph: onnx.ModelProto,
    asked: Mapping[str, str],
    metadata: Mapping[str, str],
    sigma: float | None,
) -> DenoiserModel:
    """With the roles that its tensors have: of those with which it runs the best denoiser's.

    Raises ValueError where it runs with none.
    """
    path, running, reasons = base.path, [], []
    for roles in possible_roles(path, graph, asked):
        try:
            level, levels = read_levels(path, metadata, bool(roles.form), sigma)
            model = replace(base, roles=roles, sigma=level, sigma_range=levels)
            _run(model)
            running.append(model)
        except ValueError as error:
            reasons.append(str(error))
    if not running:
        out = _fixed_sides(graph) or (WAY_OUT if "--sigma" not in reasons[0] else "")
        raise ValueError(reasons[0] + (f"; {out}" if out else ""))
    if len(running) == 1:
        return running[0]
    return min(running, key=noise_left)


def _run(model: DenoiserModel) -> None:
    """Try whether it runs and returns an image. Raises ValueError."""
    try:
        D = OnnxDenoiser(model, threads=1)
    except Exception as error:  # ONNX Runtime raises classes of its own
        raise ValueError(f"{model.path}: does not load: {first_line(error)}") from None
    for side in (SIDE, 2 * SIDE) if model.roles.fixed else (SIDE,):
        x = smooth(side, model.roles.planes)[0]
        out = D(x)
        if out.shape != x.shape:
            raise ValueError(
                f"{model.path}: expected an output of the input's shape, "
                f"found {out.shape} for {x.shape}"
            )


def _fixed_sides(graph: onnx.ModelProto) -> str:
    """The way out for a network of one size."""
    for value in inputs_of(graph.graph):
        sides = sides_of(value)
        if len(sides) >= 2 and any(isinstance(side, int) and side > 4 for side in sides):
            return (
                f"it was exported for {value.name} of {sides}, and other sizes do not run: export "
                f'it with dynamic_axes={{"{value.name}": {{2: "h", 3: "w"}}}} (torch.onnx.export)'
            )
    return ""


def _with_field(model: DenoiserModel, halo: int | str | None, align: int | None) -> DenoiserModel:
    """With its halo and alignment, by the graph or else by the user and a trial.

    Raises ValueError.
    """
    path = model.path
    try:
        field = receptive_field(model.network())
    except UnboundedReceptiveFieldError as error:
        if halo is None:
            raise ValueError(
                f"{path}: no bound on the receptive field ({error}); --halo N sets one, inexactly, "
                "and --halo auto:1e-3 the smallest within that error of the whole"
            ) from None
        pixels = halo if isinstance(halo, int) else 0
        found = align or found_align(model)
        return replace(model, field=ReceptiveField(pixels, found), halo_known=False)
    if align is not None and align % field.align:
        raise ValueError(
            f"{path}: --align is {align}, expected a multiple of {field.align}, the total stride "
            "of the network"
        )
    pixels = halo if isinstance(halo, int) else field.halo
    found = align or field.align
    return replace(model, field=ReceptiveField(pixels, found), halo_known=pixels >= field.halo)


def _stated_output(path: Path, metadata: Mapping[str, str]) -> str:
    """What the file says that it returns, auto where it says nothing. Raises ValueError."""
    output = metadata.get("asyncred.output", "auto")
    if output not in ("auto", "image", "noise"):
        raise ValueError(f"{path}: metadata asyncred.output is {output!r}, expected image or noise")
    return output


def _load(path: Path) -> onnx.ModelProto:
    """Raises ValueError where it is no ONNX model."""
    try:
        graph = onnx.load(str(path))
        if not graph.graph.output:
            raise ValueError("it has no output")
    except Exception as error:  # the library raises classes of its own
        raise ValueError(
            f"{path}: expected an ONNX model, cannot load it: {first_line(error)}"
        ) from None
    return graph
