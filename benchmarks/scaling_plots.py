"""The pictures of ``scaling.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import PercentFormatter


def efficiency(path: Path, names: Sequence[str], by_ranks: Mapping[int, Sequence[float]]) -> None:
    """Efficiency over ranks: asynchronous ones full, synchronous ones dashed."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    ranks = list(by_ranks)
    for k, name in enumerate(names):
        style = "--" if name.startswith("sync") else "-"
        axes.plot(ranks, [line[k] for line in by_ranks.values()], style, marker=".", label=name)
    axes.set(xscale="log", xlabel="ranks", ylabel="updates/s over ideal", ylim=(0, 1.05))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def halos(path: Path, shares: Sequence[tuple[int, float, float, float, float]]) -> None:
    """What a halo costs over the side of a block."""
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    sides, _, margin, thread, adapter = zip(*shares, strict=True)
    axes.plot(sides, margin, "-", marker=".", label="denoiser's work on the halo")
    axes.plot(sides, thread, "-", marker=".", label="waiting, served by the thread")
    axes.plot(sides, adapter, "-", marker=".", label="waiting, served by the adapter")
    axes.set(xscale="log", xlabel="side of a block, pixels", ylabel="share of the time")
    axes.set_xticks(sides, [str(side) for side in sides], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)
