"""Compressive sensing, block-diagonal, with a known truth."""

from __future__ import annotations

from pathlib import Path

from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import write_block_random


def simulate_cs(
    scene: Scene,
    *,
    ratio: float,
    noise_snr: float,
    store_matrix: bool,
) -> str:
    """Write a block-diagonal compressive-sensing problem; what was written, in a line.

    Raises ValueError on bad arguments.
    """
    truth = scene.truth()
    m = max(1, round(ratio * scene.block**2))
    write_block_random(
        scene.path,
        truth,
        block=scene.blocks,
        m=m,
        noise_snr=noise_snr,
        seed=scene.seed,
        store_matrix=store_matrix,
    )
    return scene.written(
        truth.shape,
        f"{m} measurements each, noise at {noise_snr:g} dB",
    )


def simulate_demo(path: Path, *, overwrite: bool) -> str:
    """The problem of the paper's code on the shipped photograph; what was written, in a line.

    240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block, 30 dB.
    """
    scene = Scene(path, image="camera", size=240, block=80, seed=0, overwrite=overwrite)
    return simulate_cs(scene, ratio=4356 / 6400, noise_snr=30.0, store_matrix=False)
