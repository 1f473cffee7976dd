"""What a run from a script found, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncred.files.result import Record
from asyncred.history import Sample
from asyncred.operators import Image


@dataclass(frozen=True)
class Solution:
    """What :func:`asyncred.solve` found. For a stack of T images, arrays are [T, H, W]."""

    image: Image
    """The image that was found, float32 or complex64 [H, W] or [T, H, W]."""
    start: Image
    """The image from which the run began, of the same shape."""
    records: list[Record]
    """How the run of each image went, with its history, updates, delays and times."""
    parameters: dict[str, Any]
    """All parameters by name, those included that were left open and chosen by asyncred."""
    notes: list[str]
    """What was found in the input or taken for granted. A note that begins with !! is a doubt."""

    @property
    def history(self) -> list[Sample]:
        """The history of the first image, one :class:`~asyncred.history.Sample` a second."""
        return self.records[0].history

    @property
    def stopped(self) -> str:
        """Why the first image's run ended (tolerance, budget, time, signal, callback, diverged)."""
        return self.records[0].stopped

    @property
    def verdict(self) -> str:
        """``converged`` if all images have, ``diverged`` if any has, else ``not converged``."""
        found = {record.verdict for record in self.records}
        if "diverged" in found:
            return "diverged"
        return "converged" if found == {"converged"} else "not converged"
