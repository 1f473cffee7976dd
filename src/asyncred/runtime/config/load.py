"""The configuration of a run: defaults, then run.toml, then flags over it.

Under all of them lie the parameters of the run that is resumed, if one is.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncred.errors import InputError
from asyncred.runtime.config.data import DataConfig, FilesConfig
from asyncred.runtime.config.declare import Said, build, plain
from asyncred.runtime.config.denoiser import DenoiserConfig
from asyncred.runtime.config.machine import MachineConfig
from asyncred.runtime.config.stopping import StoppingConfig
from asyncred.runtime.config.update import UpdateConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ONE_RUN_ONLY = ("resume", "overwrite", "slow", "ranks_per_image", "max_time")
"""What a resumed run does not take over from the one that was cut."""

BUDGETS = ("updates", "epochs")
"""Two forms of one parameter."""


@dataclass(frozen=True)
class RunConfig:
    """The parameters of one run, in groups. ``load_config`` and ``from_values`` check them."""

    data: DataConfig
    denoiser: DenoiserConfig
    update: UpdateConfig
    stopping: StoppingConfig
    files: FilesConfig
    machine: MachineConfig

    @classmethod
    def from_values(cls, **values: Any) -> RunConfig:
        """Values by key, as a script gives them. Raises InputError where one is wrong."""
        config: RunConfig = build(cls, {key: (value, key) for key, value in values.items()})
        return config

    def as_json(self) -> dict[str, Any]:
        """The parameters as plain values, for the result file."""
        found = plain(self)
        found["start"] = file_or_name(found["start"])
        for key in ("angles", "white", "dark") if self.data.data is None else ("angles",):
            told = found[key]
            found[key] = str(Path(told).resolve()) if told and Path(told).exists() else told
        return {key: None if value == math.inf else value for key, value in found.items()}


def file_or_name(told: str) -> str:
    """The whole path of a file, wherever the program is called from next time; else the name."""
    path = Path(told)
    return str(path.resolve()) if path.is_file() else told


def load_config(
    flags: Mapping[str, Any], toml: Path | None, *, configuration: type = RunConfig
) -> Any:
    """The configuration from a run.toml (keys as the flags, ``-`` or ``_``) and flags over it.

    Under both lie the parameters of the checkpoint that is to be resumed, if one is. Raises
    InputError.
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
    return build(configuration, found)


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
    from asyncred.files.checkpoint_reading import read_parameters

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
