"""The command lines of ``asyncred simulate``: imports nothing of a kind before it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncred.commands.parser import Parser, locally, typed
from asyncred.runtime.comm import Comm
from asyncred.runtime.config.checks import integer, number

if TYPE_CHECKING:
    from asyncred.commands.simulate.truth import Scene

Kinds = Any
"""What argparse adds commands to."""


def add_simulate(commands: Kinds) -> None:
    """The command and its kinds."""
    simulate = commands.add_parser(
        "simulate",
        help="write a problem file whose true image is known",
        description="Writes a problem whose true image is known, to try things out and to measure.",
        examples=(
            "asyncred simulate ct problem.h5 --views 180 --block 128",
            "asyncred simulate blur problem.h5 --image photo.png --size 512",
        ),
    )
    kinds = simulate.add_subparsers(required=True, metavar="KIND", parser_class=Parser)
    for add in (_add_cs, _add_ct, _add_fan, _add_mri, _add_blur, _add_inpaint, _add_sr):
        add(kinds)


def _add_cs(kinds: Kinds) -> None:
    cs = _add_kind(kinds, "cs", "block-diagonal random compressive sensing", _cs)
    cs.add_argument(
        "--ratio", type=_positive, default=0.680625, help="measurements per pixel [0.680625]"
    )
    cs.add_argument(
        "--noise-snr", type=_decibel, default=30.0, help="signal-to-noise ratio of y, in dB [30]"
    )
    cs.add_argument(
        "--store-matrix",
        action="store_true",
        help="put the matrices themselves into the file, not their seed",
    )


def _cs(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.cs import simulate_cs

    return simulate_cs(scene, **values)


def _add_ct(kinds: Kinds) -> None:
    ct = _add_kind(kinds, "ct", "tomography in parallel beams, with Poisson noise", _ct)
    ct.add_argument(
        "--views", type=_count, default=90, help="number of views over 180 degrees [90]"
    )
    _add_photons(ct)


def _add_photons(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--photons",
        type=_positive,
        default=1e5,
        help="photons of a ray that misses the object [1e5]",
    )
    kind.add_argument(
        "--attenuation",
        type=_positive,
        default=3.0,
        help="how much the object weakens the densest ray, as a logarithm [3]",
    )


def _ct(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.ct import simulate_ct

    return simulate_ct(scene, **values)


def _add_fan(kinds: Kinds) -> None:
    text = "tomography in fan beams, as in a laboratory, with Poisson noise"
    fan = _add_kind(kinds, "fan", text, _fan)
    fan.add_argument(
        "--views", type=_count, default=180, help="number of views over 360 degrees [180]"
    )
    fan.add_argument(
        "--short",
        action="store_true",
        help="views over 180 degrees and the fan angle instead of 360",
    )
    fan.add_argument(
        "--source",
        type=typed(number("a number >= 0.6", low=0.6)),
        default=2.0,
        metavar="DIAGONALS",
        help="distance of the source from the axis, in diagonals of the image [2]",
    )
    fan.add_argument(
        "--detector",
        choices=("flat", "curved"),
        default="flat",
        help="shape of the detector [flat]",
    )
    _add_photons(fan)


def _fan(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.fan import simulate_fan

    return simulate_fan(scene, **values)


def _add_mri(kinds: Kinds) -> None:
    mri = _add_kind(kinds, "mri", "magnetic resonance, columns of k-space, several coils", _mri)
    mri.add_argument("--coils", type=_count, default=8, help="number of coils around the image [8]")
    mri.add_argument(
        "--acceleration",
        type=typed(number("a number >= 1", low=1.0)),
        default=4.0,
        help="sample one in this many columns of k-space [4]",
    )
    mri.add_argument(
        "--center-fraction",
        type=typed(number("a number >= 0")),
        default=0.08,
        help="share of the columns, around the centre, that are all sampled [0.08]",
    )
    mri.add_argument(
        "--noise-snr", type=_decibel, default=30.0, help="signal-to-noise ratio of y, in dB [30]"
    )


def _mri(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.mri import simulate_mri

    return simulate_mri(scene, **values)


def _add_blur(kinds: Kinds) -> None:
    blur = _add_kind(kinds, "blur", "deblurring with a known kernel", _blur)
    blur.add_argument(
        "--sigma",
        type=_positive,
        default=1.6,
        help="width (standard deviation) of a Gaussian blur, in pixels [1.6]",
    )
    blur.add_argument(
        "--kernel", metavar="FILE.npy", type=Path, help="kernel of the blur, instead of a Gaussian"
    )
    _add_noise(blur, 2)


def _blur(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.blur import simulate_blur

    return simulate_blur(scene, **values)


def _add_inpaint(kinds: Kinds) -> None:
    inpaint = _add_kind(kinds, "inpaint", "inpainting: pixels drawn at random", _inpaint)
    inpaint.add_argument(
        "--share", type=_share, default=0.3, help="share of the pixels that are measured [0.3]"
    )
    _add_noise(inpaint, 5)


def _inpaint(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.inpaint import simulate_inpaint

    return simulate_inpaint(scene, **values)


def _add_sr(kinds: Kinds) -> None:
    sr = _add_kind(kinds, "sr", "superresolution: blurred, then every so many pixels", _sr)
    sr.add_argument(
        "--factor",
        type=_count,
        default=2,
        help="measure every second (2), third (3) ... pixel, both ways [2]",
    )
    sr.add_argument(
        "--sigma",
        type=_positive,
        default=1.0,
        help="width (standard deviation) of the blur, in pixels [1]",
    )
    _add_noise(sr, 2)


def _sr(scene: Scene, **values: Any) -> str:
    from asyncred.commands.simulate.sr import simulate_sr

    return simulate_sr(scene, **values)


def _add_noise(kind: argparse.ArgumentParser, default: float) -> None:
    help = f"standard deviation of the noise, in units of 1/255 [{default:g}]"
    kind.add_argument("--noise", type=_level, default=float(default), help=help)


def _add_kind(kinds: Kinds, name: str, text: str, simulate: Callable[..., str]) -> Parser:
    """A kind with the flags that make a scene; ``simulate`` is called with it, and the others."""
    kind: Parser = kinds.add_parser(
        name,
        help=text,
        description=f"Writes a problem of {text}.",
        examples=(
            f"asyncred simulate {name} problem.h5",
            f"asyncred simulate {name} problem.h5 --image photo.png --size 256 --block 64",
        ),
    )
    kind.add_argument("path", metavar="OUT.h5", type=Path, help="problem file to write")
    kind.add_argument(
        "--image",
        default="camera",
        metavar="FILE",
        help="true image: a picture, a .npy file, or camera, the shipped photograph [camera]",
    )
    kind.add_argument(
        "--size",
        type=_count,
        metavar="PIXELS",
        help="scale the longer side of the image down to this [as it is]",
    )
    kind.add_argument(
        "--block", type=_count, default=80, metavar="PIXELS", help="side of a block [80]"
    )
    seed = typed(integer("an integer >= 0"))
    kind.add_argument(
        "--seed",
        type=seed,
        default=0,
        metavar="NUMBER",
        help="seed of everything that is drawn at random [0]",
    )
    kind.add_argument("--overwrite", action="store_true", help="replace an earlier file")

    def command(options: argparse.Namespace, comm: Comm) -> int:
        from asyncred.commands.simulate.truth import Scene

        values = {k: v for k, v in vars(options).items() if k != "command"}
        scene = Scene(**{field.name: values.pop(field.name) for field in fields(Scene)})
        return locally(lambda: simulate(scene, **values))

    kind.set_defaults(command=command)
    return kind


def _at_most_one(value: Any) -> float:
    """A check: a share."""
    expected = "a number > 0, at most 1"
    found = number(expected, open_low=True)(value)
    if found > 1:
        raise ValueError(expected)
    return found


_count = typed(integer("an integer >= 1", low=1))
_share = typed(_at_most_one)
_positive = typed(number("a number > 0", open_low=True))
_level = typed(number("a number >= 0"))
_decibel = typed(number("dB >= -100", low=-100.0))
