"""What is wrong with what the user gave."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave is wrong: one line, exit code 2, no traceback."""
