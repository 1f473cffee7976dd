"""What is wrong with what the user gave, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What the user gave is wrong: one line, exit code 2, no traceback."""


class BadImage(InputError):
    """One image of a stack has no measurements that could be used; the others may have."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?`` where a known name begins with the word or is close to it.

    Nothing where none does.
    """
    names = list(known)
    longer = [name for name in names if word.strip("-") and name.startswith(word)]
    close = longer or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
