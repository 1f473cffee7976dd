"""One declaration a parameter: its name, check, default, unit, words and place in ``--help``.

A group of parameters is a frozen dataclass whose fields are made by ``parameter``. From it come the
flag, the key in run.toml, the check, the lines of ``--help``, shell completion and the record in
the result: whoever adds a parameter adds one field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from asyncred.errors import InputError, did_you_mean

SECTIONS = {
    "basic": "what most runs need",
    "data": "the data: which part, and how it is read",
    "phase": "phase contrast in raw scans of tomography: attenuation computed from it",
    "layout": "where things are in a scan: HDF5 files of any layout, and TIFF files",
    "denoiser": "the denoiser",
    "update": "the update of a block",
    "stopping": "when a run ends, besides epochs, tol and max-time",
    "checkpoint": "interrupting a run and going on",
    "machine": "MPI and machine",
    "expert": "for experts and experiments",
}
"""Headings of ``--help``, in their order."""

Said = Mapping[str, tuple[Any, str]]
"""Values by name, each with the place where it was said."""


@dataclass(frozen=True)
class Parameter:
    """What is declared of one parameter."""

    name: str
    """Of the flag without its dashes, and of the key in run.toml."""
    check: Callable[[Any], Any]
    """From what the user wrote to the value. Raises ValueError saying what was expected."""
    text: str
    section: str
    metavar: str
    default: Any
    """MISSING where the user has to say it."""
    shown: str
    """What ``--help`` says of the default."""
    choices: tuple[str, ...]
    """All values there are, {} where they are not counted."""

    @property
    def key(self) -> str:
        """The name as a Python identifier, which values are kept under."""
        return self.name.replace("-", "_")

    @property
    def help(self) -> str:
        """One line of ``--help``."""
        return f"{self.text} [{self.shown}]" if self.shown else self.text


def parameter(
    check: Callable[[Any], Any],
    text: str,
    *,
    section: str,
    metavar: str = "",
    name: str = "",
    default: Any = MISSING,
    shown: str | None = None,
) -> Any:
    """A field of a group. ``text`` says what it is and in which unit.

    ``name`` is that of the flag where it is not the field's; ``shown`` the words for the default
    where its value does not tell.
    """
    if section not in SECTIONS:
        raise ValueError(f"section {section!r}, expected {' or '.join(SECTIONS)}")
    if shown is None:
        shown = "" if default in (MISSING, None) or isinstance(default, bool) else str(default)
    told = {"check": check, "text": text, "section": section, "metavar": metavar}
    return field(default=default, metadata={**told, "name": name, "shown": shown})


def _declared(made: Field[Any]) -> Parameter:
    told = made.metadata
    name = told["name"] or made.name.replace("_", "-")
    choices = getattr(told["check"], "choices", ())
    metavar = told["metavar"] or ("{" + ",".join(choices) + "}" if choices else name.upper())
    return Parameter(
        name,
        told["check"],
        told["text"],
        told["section"],
        metavar,
        made.default,
        told["shown"],
        choices,
    )


def parameters(configuration: type) -> dict[str, Parameter]:
    """All parameters of a dataclass of groups, by key, in their order of declaration."""
    found = (_declared(made) for group in _groups(configuration).values() for made in fields(group))
    return {one.key: one for one in found}


def build(configuration: type, said: Said) -> Any:
    """A configuration of checked values; defaults where nothing was said.

    Raises InputError naming the place, what was found and what was expected.
    """
    known = parameters(configuration)
    checked: dict[str, Any] = {}
    for key, (value, place) in said.items():
        if key not in known:
            raise InputError(
                f"{place}: unknown key{did_you_mean(key, known)}; known: {_list(known)}"
            )
        try:
            checked[key] = known[key].check(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{place} is {value!r}, expected {error}") from None
    needed = [one.name for key, one in known.items() if one.default is MISSING]
    missing = [name for name in needed if name.replace("-", "_") not in checked]
    if missing:
        raise InputError(f"no {' and no '.join(missing)} file given")
    return configuration(
        **{name: _group(group, checked) for name, group in _groups(configuration).items()}
    )


def plain(configuration: Any) -> dict[str, Any]:
    """The values of a configuration by key, paths made absolute, for JSON."""
    found: dict[str, Any] = {}
    for name, group in _groups(type(configuration)).items():
        for made in fields(group):
            value = getattr(getattr(configuration, name), made.name)
            found[_declared(made).key] = str(value.resolve()) if isinstance(value, Path) else value
    return found


def _group(group: type, checked: Mapping[str, Any]) -> Any:
    keys = {made.name: _declared(made).key for made in fields(group)}
    return group(**{name: checked[key] for name, key in keys.items() if key in checked})


def _groups(configuration: type) -> dict[str, type]:
    hints = get_type_hints(configuration)
    return {made.name: hints[made.name] for made in fields(configuration)}


def _list(known: Mapping[str, Parameter]) -> str:
    return ", ".join(one.name for one in known.values())
