"""What the commands share that run in one process: checked flags, errors that are the user's."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from asyncred.errors import InputError


def typed(check: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A check of ``asyncred.runtime.checks`` as the type of an argument."""

    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"is {text!r}, expected {error}") from None

    return convert


def locally(work: Callable[[], str]) -> int:
    """Print what ``work`` returns; its ValueErrors and OSErrors are the user's."""
    try:
        print(work())
    except (ValueError, OSError) as error:
        raise InputError(" ".join(str(error).split())) from None
    return 0
