"""Which tensor of an ONNX file is the image, which the noise level, and how they lie in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from asyncred.denoisers.folding import inputs_of, sides_of
from asyncred.denoisers.metadata import CLEAN, POTENTIAL
from asyncred.errors import did_you_mean

FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
)

LAYOUTS = {4: ("NCHW", "NHWC"), 3: ("CHW", "HWC"), 2: ("HW",)}
"""By the number of axes, in order of preference."""

MOST = 4
"""Channels of an image, and one for the level."""

KEYS = ("image", "sigma", "output")
"""What ``--denoiser-inputs`` and the metadata ``asyncred.inputs`` may say."""

WAY_OUT = "--denoiser-inputs image=NAME,sigma=NAME,output=NAME says which is which"


@dataclass(frozen=True)
class Roles:
    """What the tensors of a network are."""

    image: str
    """The name of the input that is the image."""
    output: str
    """That of the output that is the clean image, or the noise."""
    level: str = ""
    """That of the input that is the noise level; of a level that is a channel the image's."""
    form: str = ""
    """How the level is told: one number with as many sides as the input has (``number``), a map of
    the size of the image (``map``), a channel after or before those of the image (``last``,
    ``first``); nothing where it is not told."""
    layout: str = "NCHW"
    """The axes of the image in the network."""
    channels: int = 1
    """Of an image there, a channel for the level not counted; 2 are the parts of complex values."""
    fixed: bool = False
    """Whether the file fixes the sides of the image, which are then freed."""
    converted: bool = False
    """Whether it computes in another type than float32."""
    potential: bool = False
    """Whether the network returns the potential of D too."""
    direct: bool = True
    """Whether the image is its first input and the result its first output."""

    @property
    def planes(self) -> int:
        """Channels of the images that D takes: a colour network sees a gray one three times."""
        return 1 if self.channels == 3 else self.channels

    @property
    def plain(self) -> bool:
        """Whether the file is used as it is: float32 [n, 1, h, w], h and w free, and a number."""
        told = self.form in ("", "number")
        straight = self.layout == "NCHW" and self.channels == 1
        return self.direct and told and straight and not self.fixed and not self.converted


def read_asked(place: str, text: str) -> dict[str, str]:
    """``image=NAME,sigma=NAME,output=NAME``, any of them, by key. Raises ValueError."""
    found = {}
    for part in text.split(","):
        key, sign, name = (word.strip() for word in part.partition("="))
        if key not in KEYS or not sign or not name:
            raise ValueError(
                f"{place} is {text!r}, expected image=NAME,sigma=NAME,output=NAME, "
                f"or some of these{did_you_mean(key, KEYS)}"
            )
        found[key] = name
    return found


def possible_roles(path: Path, model: onnx.ModelProto, asked: Mapping[str, str]) -> list[Roles]:
    """The roles that the tensors of a file may have, by their types and shapes; likely ones first.

    Raises ValueError, naming the file and what was expected, where there are none.
    """
    graph = model.graph
    inputs = {value.name: value for value in inputs_of(graph)}
    outputs = [value.name for value in graph.output]
    potential = sorted(outputs) == [CLEAN, POTENTIAL]
    for key, names in (("image", [*inputs]), ("sigma", [*inputs]), ("output", outputs)):
        if asked.get(key, names[0] if names else "") not in names:
            raise ValueError(
                f"{path}: has no {key} {asked[key]!r}; expected {', '.join(names) or 'one'}"
            )
    pairs = _pairs(path, [*inputs], asked)
    chosen = [asked["output"]] if "output" in asked else [CLEAN] if potential else outputs
    found = [
        roles
        for (image, level), output in itertools.product(pairs, chosen)
        for roles in _of_pair(
            inputs, image, level, output, potential, output in (outputs[0], CLEAN)
        )
    ]
    if not found:
        said = ", ".join(f"{name} {_words(value)}" for name, value in inputs.items())
        raise ValueError(
            f"{path}: inputs are {said}; expected an image of floats of two dimensions, "
            "[n, c, h, w] or channels last, with 1, 2 or 3 channels, and maybe a noise level; "
            f"{WAY_OUT}"
        )
    return found


def _pairs(path: Path, names: Sequence[str], asked: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which input may be the image and which, if any, the level. Raises ValueError."""
    if not 1 <= len(names) <= 2:
        raise ValueError(
            f"{path}: has {len(names)} inputs ({', '.join(names)}), expected an image and maybe a "
            "noise level: export the network with all others fixed"
        )
    pairs = [(names[0], "")] if len(names) == 1 else [(names[0], names[1]), (names[1], names[0])]
    found = []
    for image, level in pairs:
        told = asked.get("sigma", level) in (level, "" if level else image)
        if told and asked.get("image", image) == image:
            found.append((image, level))
    return found


def _of_pair(
    inputs: Mapping[str, onnx.ValueInfoProto],
    image: str,
    level: str,
    output: str,
    potential: bool,
    first: bool,
) -> Iterator[Roles]:
    value = inputs[image]
    sides, kind = sides_of(value), value.type.tensor_type.elem_type
    kinds = {kind, inputs[level].type.tensor_type.elem_type} if level else {kind}
    if not kinds <= {*FLOATS}:
        return
    for layout in _layouts(sides):
        at = dict(zip(layout, sides, strict=True))
        whole = [int(at[axis]) for axis in "HW" if isinstance(at[axis], int)]
        if whole and min(whole) <= MOST:
            continue
        fixed = bool(whole) or (isinstance(at.get("N", ""), int) and at["N"] != 1)
        for channels, form in _channels(at.get("C", 1), level):
            forms = [form] if not level else _forms(sides_of(inputs[level]), at)
            for told in forms:
                yield Roles(
                    image,
                    output,
                    (level or image) if told else "",
                    told,
                    layout,
                    channels,
                    fixed,
                    kinds != {onnx.TensorProto.FLOAT},
                    potential and channels == 1,
                    image == next(iter(inputs)) and first,
                )


def _layouts(sides: Sequence[int | str]) -> Sequence[str]:
    """Channels come last only where the file says that there are few of them, and not before."""
    known = LAYOUTS.get(len(sides), ())
    if len(known) < 2:
        return known
    few = [isinstance(sides[-k], int) and int(sides[-k]) <= MOST for k in (3, 1)]
    return known[1:] if few == [False, True] else known[:1]


def _channels(side: int | str, level: str) -> list[tuple[int, str]]:
    """Channels of the image and whether one more tells the level, for a number of channels."""
    if isinstance(side, str):
        return [(1, ""), (3, ""), (2, "")]
    within = [] if level or side not in (2, 3, 4) else [(side - 1, "last"), (side - 1, "first")]
    return ([(side, "")] if side in (1, 2, 3) else []) + within


def _forms(sides: Sequence[int | str], image: Mapping[str, int | str]) -> list[str]:
    """How an input of these sides may be told a level."""
    number = all(isinstance(side, str) or side == 1 for side in sides)
    known = {1, *(image[axis] for axis in "HW")}
    fits = all(isinstance(side, str) or side in known for side in sides)
    whole = len(sides) >= 2 and any(side != 1 for side in sides)
    return ["number"] * number + ["map"] * (fits and whole)


def _words(value: onnx.ValueInfoProto) -> str:
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{kind} [{', '.join(str(side or '?') for side in sides_of(value))}]"
