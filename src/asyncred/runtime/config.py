"""Every check of what the user asks of ``run``: defaults, run.toml, then flags over it."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from asyncred.errors import InputError
from asyncred.runtime import checks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

METHODS = ("async", "sync", "bc", "gm")
STARTS = (
    "auto",
    "zero",
    "adjoint",
    "centered",
    "fbp",
    "zero-filled",
    "measured",
    "interpolated",
    "tv",
)
"""Or a file; which of them, the kind of problem says."""

EPOCHS = 400
"""Of a run that is told no budget."""

PROXIMAL_TOL = 1e-4
"""Where such a run by the proximal update stops: its steps shrink fast."""

INNER = 3
"""Steps of conjugate gradients of a proximal update."""

ONE_RUN_ONLY = ("resume", "overwrite", "slow", "ranks_per_image")
"""What a resumed run does not take over from the one that was cut."""

BUDGETS = ("updates", "epochs")
"""Two forms of one parameter."""

Said = Mapping[str, tuple[Any, str]]
"""Values by name, each with the place where it was said."""


@dataclass(frozen=True)
class RunConfig:
    """The parameters of one run. ``from_values`` checks them."""

    problem: Path
    output: Path
    denoiser: str = "fast-s5"
    denoiser_output: str = "auto"
    denoiser_range: tuple[float, float] | None = None
    sigma: float | None = None
    """Noise level of a conditional denoiser, in units of 1/255."""
    halo: int | None = None
    range: tuple[float, float] | None = None
    """The image's values for black and white; None: as the file says, or from the start."""
    strict: bool = False
    """Whether a problem that looks wrong is refused."""
    block: int | None = None
    center: float | None = None
    tau: float | None = None
    """None: what suits the kind of problem."""
    update: str = "auto"
    mu: float | None = None
    """Of the proximal update; None: from tau and what is known of the denoiser."""
    momentum: float | None = None
    """Of the proximal update; None: from what is known of the denoiser."""
    inner: int = INNER
    matrix: str = "single"
    """The precision of a dense A."""
    factors: Path | None = None
    """Where those of A are kept; None: the proximal update goes by conjugate gradients."""
    continuation: float = 0.0
    """Epochs in which the denoiser becomes what it is."""
    draft: str = "auto"
    method: str = "async"
    minibatch: int | None = None
    updates: int | None = None
    epochs: float | None = None
    """None: ``EPOCHS``."""
    tol: float | None = None
    """None: 0, or ``PROXIMAL_TOL``."""
    tol_distance: float = 0.0
    max_time: float = math.inf
    step: str | float = "adaptive"
    decay: float | None = None
    order: str = "epoch"
    steal: str = "off"
    """Whether the ranks of a node take the least-updated block of any of them."""
    seed: int = 0
    start: str = "auto"
    refresh: float = 50.0
    images: tuple[int, int] | None = None
    """Of a stack, the first and the end, which is excluded."""
    slow: tuple[tuple[int, float], ...] = ()
    threads: int | None = None
    provider: str = "auto"
    progress_thread: str = "auto"
    report: float = 1.0
    checkpoint: Path | None = None
    checkpoint_every: float = 10.0
    """Minutes."""
    resume: Path | None = None
    ranks_per_image: int | None = None
    """Of a stack: how many ranks share an image; None: from its size and the number of images."""
    overwrite: bool = False

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, where: Mapping[str, str]) -> RunConfig:
        """Check raw values, keyed by field; ``where`` says where each came from.

        Raises InputError naming the place, the key, what was found and what was expected.
        """
        checked: dict[str, Any] = {}
        for key, value in values.items():
            place = where.get(key, "")
            try:
                checked[key] = _CHECKS[key](value)
            except KeyError:
                raise InputError(f"{place}: unknown key; known: {', '.join(_CHECKS)}") from None
            except (TypeError, ValueError) as error:
                raise InputError(f"{place} is {value!r}, expected {error}") from None
        missing = [name for name in ("problem", "output") if name not in checked]
        if missing:
            raise InputError(f"no {' and no '.join(missing)} file given")
        return cls(**checked)

    def budget(self, blocks: int) -> int:
        """Block updates of the whole run."""
        if self.updates is not None:
            return self.updates
        return math.ceil((EPOCHS if self.epochs is None else self.epochs) * blocks)

    def tolerance(self, *, proximal: bool) -> float:
        """Of the step of an epoch, by the proximal or the gradient update."""
        if self.tol is not None:
            return self.tol
        told = self.updates is not None or self.epochs is not None or self.tol_distance > 0
        return PROXIMAL_TOL if proximal and not told else 0.0

    @property
    def checkpoint_file(self) -> Path | None:
        """Where to put the run down: where it is resumed from, if nothing else is said."""
        return self.checkpoint or self.resume

    def as_json(self) -> dict[str, Any]:
        """The parameters as plain values, for the result file."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {k: str(v.resolve()) if isinstance(v, Path) else v for k, v in plain.items()}
        for name in ("start", "denoiser"):
            if Path(plain[name]).is_file():
                plain[name] = str(Path(plain[name]).resolve())
        return {k: None if v == math.inf else v for k, v in plain.items()}


def load_config(flags: Mapping[str, Any], toml: Path | None) -> RunConfig:
    """The configuration from a run.toml (keys as the flags, ``-`` or ``_``) and flags over it.

    Under both lie the parameters of the checkpoint that is to be resumed, if one is.
    """
    said = {} if toml is None else _read_toml(toml)
    below = {key.replace("-", "_"): (value, f"{toml}: {key}") for key, value in said.items()}
    above = {name: (value, f"--{name.replace('_', '-')}") for name, value in flags.items()}
    found = _over(above, below)
    resumed = found["resume"][0] if "resume" in found else None
    if isinstance(resumed, (str, Path)):
        path = _cut_run(Path(resumed), found["output"][0] if "output" in found else None)
        before = {} if path is None else _read_parameters(path)
        found = _over(found, {name: (value, f"{path}: {name}") for name, value in before.items()})
    values = {name: value for name, (value, _) in found.items()}
    return RunConfig.from_values(values, where={name: place for name, (_, place) in found.items()})


def _over(above: Said, below: Said) -> Said:
    """What was said in two places, where the first one wins: a budget in either of its forms."""
    if any(name in above for name in BUDGETS):
        below = {name: value for name, value in below.items() if name not in BUDGETS}
    return {**below, **above}


def _cut_run(checkpoint: Path, output: Any) -> Path | None:
    """A file that has the parameters of the run that is resumed: of a stack any one will do."""
    if checkpoint.is_file():
        return checkpoint
    name = re.compile(rf"{re.escape(checkpoint.stem)}\.\d{{6}}{re.escape(checkpoint.suffix)}")
    folder = checkpoint.parent
    found = (
        sorted(path for path in folder.iterdir() if name.fullmatch(path.name))
        if folder.is_dir()
        else []
    )
    if found:
        return found[0]
    return Path(output) if isinstance(output, (str, Path)) and Path(output).is_file() else None


def _read_parameters(path: Path) -> dict[str, Any]:
    """What was set by the run that wrote a checkpoint or a result. Raises InputError."""
    from asyncred.files.checkpoint import read_parameters

    try:
        found = read_parameters(path)
    except ValueError as error:
        raise InputError(str(error)) from None
    return {name: value for name, value in found.items() if name not in ONE_RUN_ONLY}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "problem": checks.path,
    "output": checks.path,
    "denoiser": checks.text,
    "denoiser_output": checks.choice("auto", "image", "noise"),
    "denoiser_range": checks.value_range,
    "sigma": checks.noise_level,
    "halo": checks.integer("an integer >= 0"),
    "range": checks.value_range,
    "strict": checks.flag,
    "block": checks.integer("an integer >= 1", low=1),
    "center": checks.number("a bin", low=-checks.LARGEST),
    "tau": checks.number("a number >= 0"),
    "update": checks.choice("auto", "gradient", "proximal"),
    "mu": checks.number("a number > 0", open_low=True),
    "momentum": checks.number("a number >= 0 and < 1", below=1),
    "inner": checks.integer("an integer >= 1", low=1),
    "matrix": checks.choice("single", "half"),
    "factors": checks.path,
    "continuation": checks.number("epochs >= 0"),
    "draft": checks.text,
    "method": checks.choice(*METHODS),
    "minibatch": checks.integer("an integer >= 1", low=1),
    "updates": checks.integer("an integer >= 1", low=1, large=True),
    "epochs": checks.number("a number > 0", open_low=True),
    "tol": checks.number("a number >= 0"),
    "tol_distance": checks.number("a number >= 0"),
    "max_time": checks.number("seconds > 0", open_low=True, infinite=True),
    "step": checks.step,
    "decay": checks.number("epochs > 0", open_low=True),
    "order": checks.choice("epoch", "uniform"),
    "steal": checks.choice("on", "off"),
    "seed": checks.integer("an integer >= 0", large=True),
    "start": checks.text,
    "refresh": checks.number("epochs >= 0"),
    "images": checks.images,
    "slow": checks.slow,
    "threads": checks.integer("an integer >= 1", low=1),
    "provider": checks.choice("auto", "cpu", "cuda", "openvino"),
    "progress_thread": checks.choice("auto", "on", "off"),
    "report": checks.number("seconds > 0", open_low=True),
    "checkpoint": checks.path,
    "checkpoint_every": checks.number("minutes > 0", open_low=True),
    "resume": checks.path,
    "ranks_per_image": checks.integer("an integer >= 1", low=1),
    "overwrite": checks.flag,
}
