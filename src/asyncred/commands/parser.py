"""What all command lines have in common: their parser, flags made of declarations, errors."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from asyncred.errors import InputError, did_you_mean
from asyncred.runtime.config.declare import SECTIONS, Parameter

NUMBER = re.compile(r"-[\d.]")
"""What begins like a negative number is a value, and no flag."""

Arguments = Any
"""A parser, or a group of its arguments."""


class Words(argparse.RawDescriptionHelpFormatter):
    """Help whose examples stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class Parser(argparse.ArgumentParser):
    """Takes flags by their whole names, negative values, and reports mistakes as InputError.

    An InputError is printed by one rank only; argparse would let every rank print it.
    """

    def __init__(self, *, examples: Sequence[str] = (), **settings: Any) -> None:
        epilog = "\n".join(["examples:", *(f"  {line}" for line in examples)]) if examples else None
        super().__init__(allow_abbrev=False, formatter_class=Words, epilog=epilog, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"{message} ({self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; refuse what is left over, with the flag that was meant."""
        found, rest = super().parse_known_args(self._joined(args), namespace)
        if rest:
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            word = rest[0].partition("=")[0]
            what = f"no flag {word}" if word.startswith("-") else f"{word!r} is one word too many"
            self.error(what + did_you_mean(word, flags))
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of the choices, with the one that was meant.

        The choices of a flag are for completion; its check comes later.
        """
        if action.option_strings or action.choices is None:
            return
        if value not in action.choices:
            what = str(action.metavar or action.dest).lower()
            known = ", ".join(map(str, action.choices))
            hint = did_you_mean(str(value), map(str, action.choices))
            self.error(f"no {what} {str(value)!r}{hint}; known: {known}")

    def _joined(self, args: Sequence[str] | None) -> list[str] | None:
        """``--range -1:1`` as ``--range=-1:1``, which argparse would take for two flags."""
        joined: list[str] = []
        for word in args or ():
            before = self._option_string_actions.get(joined[-1]) if joined else None
            takes = before is not None and before.nargs is None
            if takes and joined[-1].startswith("--") and NUMBER.match(word):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return None if args is None else joined


def typed(check: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A check of ``asyncred.runtime.config.checks`` as the type of an argument."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"is {text!r}, expected {error}") from None

    return convert


def add_sections(parser: Parser, declared: Mapping[str, Parameter], taken: Iterable[str]) -> None:
    """A flag for each declared parameter but those ``taken``, under the headings of the help.

    They are left unchecked, so that values of a file and of flags are checked in one place.
    """
    for name, heading in SECTIONS.items():
        group = parser.add_argument_group(heading)
        for key, one in declared.items():
            if one.section == name and key not in taken:
                add_flag(group, one)


def add_flag(parser: Arguments, one: Parameter, *, checked: bool = False) -> None:
    """The flag of a declared parameter; with ``checked`` its value is checked at once."""
    settings: dict[str, Any] = {"help": one.help.replace("%", "%%"), "dest": one.key}
    if isinstance(one.default, bool):
        settings |= {"action": "store_true"}
    else:
        settings |= {"metavar": one.metavar}
    if isinstance(one.default, tuple):
        settings |= {"action": "append"}
    if checked:
        settings |= {"default": one.default}
        settings |= {} if isinstance(one.default, bool) else {"type": typed(one.check)}
    else:
        settings |= {"default": argparse.SUPPRESS}
    parser.add_argument(f"--{one.name}", **settings).choices = one.choices or None


def locally(work: Callable[[], str]) -> int:
    """Print what ``work`` returns; its ValueErrors and OSErrors are the user's."""
    try:
        print(work())
    except (ValueError, OSError) as error:
        raise InputError(" ".join(str(error).split())) from None
    return 0
