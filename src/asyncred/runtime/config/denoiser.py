"""Parameters of a run: the denoiser and its weight."""

from __future__ import annotations

from dataclasses import dataclass

from asyncred.runtime.config import checks
from asyncred.runtime.config.declare import parameter


@dataclass(frozen=True)
class DenoiserConfig:
    """D, and its weight tau."""

    name: str | None = parameter(
        checks.text,
        "denoiser: the name of a shipped one, or an ONNX file",
        name="denoiser",
        section="basic",
        metavar="NAME|FILE",
        default=None,
        shown="potential; for compressive sensing fast-s5",
    )
    sigma: float | None = parameter(
        checks.noise_level,
        "noise level that the denoiser removes, in units of 1/255, if it takes one",
        section="basic",
        metavar="LEVEL",
        default=None,
        shown="as its file says; if no denoiser is named 10, in MRI 5",
    )
    tau: float | None = parameter(
        checks.number("a number >= 0"),
        "weight of the denoiser against the data; larger is smoother",
        section="basic",
        metavar="WEIGHT",
        default=None,
        shown="from the noise in the measurements, the kind and sigma",
    )
    output: str = parameter(
        checks.Choice("auto", "image", "noise"),
        "whether the network returns the clean image or the noise",
        name="denoiser-output",
        section="denoiser",
        default="auto",
        shown="auto: as its file says, or by a try",
    )
    range: tuple[float, float] | None = parameter(
        checks.value_range,
        "values that are black and white to the network",
        name="denoiser-range",
        section="denoiser",
        metavar="LOW:HIGH",
        default=None,
        shown="as its file says, or 0:1",
    )
    inputs: str | None = parameter(
        checks.text,
        "which tensors of the network are what, if that is not found by a try: its image, its "
        "noise level sigma, its output",
        name="denoiser-inputs",
        section="denoiser",
        metavar="image=NAME,sigma=NAME,output=NAME",
        default=None,
        shown="as its file says, or by a try",
    )
    halo: int | str | None = parameter(
        checks.halo,
        "pixels around a block that the denoiser is shown; auto:1e-3 takes the fewest with which "
        "tiles differ from the whole by at most that, of values from 0 to 1",
        section="denoiser",
        metavar="PIXELS|auto:ERROR",
        default=None,
        shown="read from the graph: the tiles then equal the whole",
    )
    align: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "pixels of which the borders of windows are multiples: the total stride of the network",
        section="denoiser",
        metavar="PIXELS",
        default=None,
        shown="read from the graph, or found by shifting a picture",
    )
    equivariant: bool = parameter(
        checks.flag,
        "turn or mirror what the denoiser is shown at random, and turn back what it returns",
        section="denoiser",
        default=False,
    )
    draft: str = parameter(
        checks.text,
        "cheaper denoiser for the first updates, which are large; or none",
        section="denoiser",
        metavar="auto|none|NAME|FILE",
        default="auto",
        shown="auto: the 8-bit version of a shipped one, if this processor is fast at it",
    )
    continuation: float = parameter(
        checks.number("epochs >= 0"),
        "denoise strongly in this many first epochs: D(k x) / k with k from 0.1 to 1",
        section="denoiser",
        metavar="EPOCHS",
        default=0.0,
        shown="0",
    )
    provider: str = parameter(
        checks.Choice("auto", "cpu", "cuda", "openvino"),
        "what the denoiser runs on",
        section="machine",
        default="auto",
        shown="auto: CUDA if there is a GPU",
    )
