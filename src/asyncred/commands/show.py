"""The picture of a result: truth, start, result, difference and the convergence curve."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asyncred.files.result import Result
from asyncred.files.whole import written_whole
from asyncred.metrics import snr
from asyncred.operators import Image


def draw(result: Result, path: Path) -> None:
    """Write the picture as a PNG file."""
    panels: list[tuple[str, Image]] = []
    if result.truth is not None:
        panels.append(("truth", result.truth))
    start = result.provenance["parameters"]["start"]
    names = {
        "adjoint": "$A^T y$",
        "centered": "$A^T y$ about its mean",
        "fbp": "FBP",
        "zero-filled": "zero-filled",
        "measured": "$y$",
        "interpolated": "$y$, interpolated",
        "zero": "zero",
    }
    name = f"start, {names[start]}" if start in names else "start"
    panels.append((_with_snr(name, result.start, result), result.start))
    panels.append((_with_snr("result", result.image, result), result.image))
    reference = result.start if result.truth is None else result.truth
    what = "start" if result.truth is None else "truth"
    difference = _magnitude(result.image) - _magnitude(reference)
    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(4 * (len(panels) + 1), 7.6), layout="constrained")
        grid = figure.add_gridspec(2, len(panels) + 1, height_ratios=(3, 2))
        low, high = _limits(_magnitude(result.image if result.truth is None else reference))
        for k, (title, image) in enumerate(panels):
            axes = figure.add_subplot(grid[0, k])
            axes.imshow(_magnitude(image), cmap="gray", vmin=low, vmax=high)
            _frame(axes, title)
        axes = figure.add_subplot(grid[0, -1])
        top = max(float(np.quantile(np.abs(difference), 0.995)), 1e-6)
        shown = axes.imshow(difference, cmap="RdBu_r", vmin=-top, vmax=top)
        _frame(axes, f"result - {what}")
        figure.colorbar(shown, ax=axes, shrink=0.8)
        _curves(figure.add_subplot(grid[1, :]), result)
        with written_whole(path) as temporary:
            figure.savefig(temporary, format="png", dpi=90)


def _curves(axes: Axes, result: Result) -> None:
    epochs = result.column("updates") / result.per_block.size
    axes.semilogy(epochs, result.column("distance"), "C0", label="distance ||G||²/||G₀||²")
    axes.semilogy(epochs, result.column("step"), "C1", label="step of an epoch, relative")
    axes.set_xlabel("epochs (block updates / blocks)")
    axes.grid(alpha=0.3)
    lines = axes.get_lines()
    if np.isfinite(result.column("snr")).any():
        right = axes.twinx()
        lines = [*lines, *right.plot(epochs, result.column("snr"), "C2", label="SNR (dB)")]
        right.set_ylabel("SNR (dB)")
    axes.legend(handles=lines, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    method, ranks = result.provenance["parameters"]["method"], result.provenance["ranks"]
    axes.set_title(
        f"{method}, {ranks} rank{'s' * (ranks > 1)}: {int(result.column('updates')[-1])} updates "
        f"in {result.column('seconds')[-1]:.1f} s",
        loc="left",
    )


def _with_snr(title: str, image: Image, result: Result) -> str:
    if result.truth is None:
        return title
    return f"{title}: SNR {snr(result.truth, image):.2f} dB"


def _magnitude(image: Image) -> Image:
    return np.abs(image) if np.iscomplexobj(image) else image


def _limits(image: Image) -> tuple[float, float]:
    low, high = np.quantile(image, (0.002, 0.998))
    return float(low), float(high)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
