"""``asyncred completion``: what makes a shell complete commands, flags, values and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

FILES = ("FILE", ".h5", ".toml", ".png", ".npy", "FOLDER")
"""What a metavar that stands for a file contains."""


def complete(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for bash or zsh."""
    for action in _actions(parser):
        if any(word in str(action.metavar) for word in FILES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
