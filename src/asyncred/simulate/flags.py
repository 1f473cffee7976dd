"""The command lines of ``asyncred simulate``: imports nothing of a kind before it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncred.arguments import locally, typed
from asyncred.config import integer, number

Kinds = Any
"""What argparse adds commands to."""


def add_simulate(commands: Kinds) -> None:
    """The command and its kinds."""
    simulate = commands.add_parser("simulate", help="write a problem file with known truth")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    for add in (_add_cs, _add_ct, _add_mri):
        add(kinds)


def _add_cs(kinds: Kinds) -> None:
    cs = _add_kind(kinds, "cs", "block-diagonal random compressive sensing", _cs)
    cs.add_argument(
        "--ratio", type=_positive, default=0.680625, help="measurements per pixel (0.680625)"
    )
    cs.add_argument("--noise-snr", type=_decibel, default=30.0, help="of y, in dB (30)")
    cs.add_argument("--store-matrix", action="store_true", help="put A itself into the file")


def _cs(**values: Any) -> str:
    from asyncred.simulate.cs import simulate_cs

    return simulate_cs(**values)


def _add_ct(kinds: Kinds) -> None:
    ct = _add_kind(kinds, "ct", "tomography in parallel beams, with Poisson noise", _ct)
    ct.add_argument("--views", type=_count, default=90, help="over 180 degrees (90)")
    ct.add_argument("--photons", type=_positive, default=1e5, help="of an unweakened ray (1e5)")
    ct.add_argument(
        "--attenuation",
        type=_positive,
        default=3.0,
        help="of the strongest ray, as a logarithm (3)",
    )


def _ct(**values: Any) -> str:
    from asyncred.simulate.ct import simulate_ct

    return simulate_ct(**values)


def _add_mri(kinds: Kinds) -> None:
    mri = _add_kind(kinds, "mri", "magnetic resonance, columns of k-space, several coils", _mri)
    mri.add_argument("--coils", type=_count, default=8, help="around the image (8)")
    mri.add_argument(
        "--acceleration",
        type=typed(number("a number >= 1", low=1.0)),
        default=4.0,
        help="one in so many columns of k-space is sampled (4)",
    )
    mri.add_argument(
        "--center-fraction",
        type=typed(number("a number >= 0")),
        default=0.08,
        help="share of the columns that are the central ones, all sampled (0.08)",
    )
    mri.add_argument("--noise-snr", type=_decibel, default=30.0, help="of y, in dB (30)")


def _mri(**values: Any) -> str:
    from asyncred.simulate.mri import simulate_mri

    return simulate_mri(**values)


def _add_kind(
    kinds: Kinds, name: str, text: str, simulate: Callable[..., str]
) -> argparse.ArgumentParser:
    """A kind with the flags that all have; ``simulate`` is called with all flags by name."""
    kind: argparse.ArgumentParser = kinds.add_parser(name, help=text)
    kind.add_argument("path", metavar="OUT.h5", type=Path)
    kind.add_argument("--image", default="camera", help="picture, .npy file or camera (shipped)")
    kind.add_argument("--size", type=_count, help="scale the longer side down to this many pixels")
    kind.add_argument("--block", type=_count, default=80, help="side of a block (80)")
    kind.add_argument("--seed", type=typed(integer("an integer >= 0")), default=0)
    kind.add_argument("--overwrite", action="store_true", help="replace an earlier file")

    def command(options: argparse.Namespace) -> int:
        values = {k: v for k, v in vars(options).items() if k != "command"}
        return locally(lambda: simulate(**values))

    kind.set_defaults(command=command)
    return kind


_count = typed(integer("an integer >= 1", low=1))
_positive = typed(number("a number > 0", open_low=True))
_decibel = typed(number("dB >= -100", low=-100.0))
