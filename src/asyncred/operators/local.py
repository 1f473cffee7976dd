"""What local models have in common: they share nothing with other blocks but the image."""

from __future__ import annotations

from asyncred.operators.protocols import Image, Rows


class LocalModel:
    """Answers the questions of ``Operator`` about what is shared: nothing."""

    halo = 0

    def request(self, i: int, rows: Rows | None) -> None:
        """Nothing is with others."""

    def moved(self, i: int, delta: Image) -> None:
        """Nothing depends on it."""
