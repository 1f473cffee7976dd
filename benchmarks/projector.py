"""What a block costs in tomography, against the whole image and against ASTRA's projector.

An image of 800x800 in 16 blocks of 200x200, 180 views of 1135 bins, one thread; medians of calls
taken in turn. ASTRA's CPU projector `linear` is Joseph's too (pip install astra-toolbox). The fan's
source is two diagonals of the image away.

    python benchmarks/projector.py
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np

from asyncred.grid import BlockGrid
from asyncred.operators import Fan, FanBeam, FlatDetector, ParallelBeam
from asyncred.operators.line_integrals import LineIntegrals
from common import table

SIDE, BLOCK, VIEWS, BINS = 800, 200, 180, 1135
REPEATS = 7

Calls = dict[str, Callable[[], object]]


def main() -> None:
    angles = np.arange(VIEWS) * np.pi / VIEWS
    calls: Calls = {}
    for name, block, i in (("whole image", SIDE, 0), ("one block", BLOCK, 5)):
        grid = BlockGrid((SIDE, SIDE), (block, block))
        calls |= native(name, grid, ParallelBeam(grid, angles, BINS, threads=1), i)
        calls |= native(f"fan, {name}", grid, fan(grid), i)
    if importlib.util.find_spec("astra"):
        calls |= astra_calls(angles)
    milliseconds = medians(calls)
    rows = []
    for name in dict.fromkeys(key.rsplit(",", 1)[0] for key in calls):
        there, back = (milliseconds[f"{name}, {way}"] for way in ("forward", "adjoint"))
        rows.append([name, f"{there:.1f}", f"{back:.1f}", f"{there + back:.1f}"])
    print(table(["", "forward, ms", "adjoint, ms", "both, ms"], rows))
    total = {row[0]: float(row[3]) for row in rows}
    blocks = (SIDE // BLOCK) ** 2
    for beams in ("", "fan, "):
        share = total[f"{beams}one block"] / total[f"{beams}whole image"] * blocks
        print(f"\n{beams}one block: {share:.2f}/{blocks} of the image")
    if "ASTRA, one block" in total:
        print(f"ASTRA takes {total['ASTRA, one block'] / total['one block']:.1f} times as long")


def fan(grid: BlockGrid) -> FanBeam:
    """Bins as wide as a pixel, seen at the axis, that see the whole image."""
    source = 2 * 2**0.5 * SIDE
    bins = 2 * int(np.ceil(source * np.tan(np.arcsin(1 / 4)))) + 2
    geometry = Fan(source, FlatDetector(1 / source), (bins - 1) / 2)
    return FanBeam(grid, np.arange(VIEWS) * 2 * np.pi / VIEWS, bins, geometry, threads=1)


def native(name: str, grid: BlockGrid, A: LineIntegrals, i: int) -> Calls:
    """Our projector of block i."""
    x = np.random.default_rng(0).random(grid.window(i, 0).shape, dtype=np.float32)
    r = A.forward(i, x, None)
    return {
        f"{name}, forward": lambda: A.forward(i, x, None),
        f"{name}, adjoint": lambda: A.adjoint(i, r, None),
    }


def astra_calls(angles: np.ndarray) -> Calls:
    """ASTRA's projector of a block in the middle of its own volume, with the bins that see it."""
    import astra

    volume = astra.create_vol_geom(BLOCK, BLOCK)
    bins = int(np.ceil(BLOCK * 2**0.5)) + 2
    projection = astra.create_proj_geom("parallel", 1.0, bins, angles)
    projector = astra.create_projector("linear", projection, volume)
    x = np.random.default_rng(0).random((BLOCK, BLOCK), dtype=np.float32)
    image = astra.data2d.create("-vol", volume, x)
    sinogram = astra.data2d.create("-sino", projection, 0)
    forward = {"ProjectorId": projector, "ProjectionDataId": sinogram, "VolumeDataId": image}
    back = {"ProjectorId": projector, "ProjectionDataId": sinogram}
    back["ReconstructionDataId"] = astra.data2d.create("-vol", volume, 0)
    there = astra.algorithm.create(astra.astra_dict("FP") | forward)
    here = astra.algorithm.create(astra.astra_dict("BP") | back)
    return {
        "ASTRA, one block, forward": lambda: astra.algorithm.run(there),
        "ASTRA, one block, adjoint": lambda: astra.algorithm.run(here),
    }


def medians(calls: Calls) -> dict[str, float]:
    """Milliseconds."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


main()
