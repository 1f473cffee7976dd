"""Result files for tests, written by ``write_result`` itself."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncred.files.result import Layout, Record, write_result
from asyncred.grid import BlockGrid
from asyncred.history import Sample, Times

GRID = BlockGrid((26, 34), (8, 10))  # 16 blocks, ragged at both borders
OWNER = [0] * 8 + [1] * 8

PROVENANCE = {
    "parameters": {"method": "async", "tau": 0.8, "start": "adjoint", "draft": "small"},
    "command": "asyncred run p.h5 -o r.h5",
    "input": "/data/p.h5",
    "input_sha256": "0" * 64,
    "denoiser": "fast-s5.onnx",
    "halo": 7,
    "halo_exact": True,
    "ranks": 2,
    "hosts": ["one", "two"],
    "threads_per_rank": 1,
    "mpi": "MPI",
}


def record(**changes: object) -> Record:
    """What a run of 2 ranks and 48 updates would record."""
    history = [
        Sample(16 * (k + 1), 0.5 * (k + 1), 10.0**-k, 0.1 / (k + 1), 20.0 + k, 0.9)
        for k in range(3)
    ]
    values = {
        "history": history,
        "per_block": np.arange(16),
        "drafts": np.arange(16) // 4,
        "owner": OWNER,
        "per_rank": np.array([28, 92]),
        "delays": np.array([30, 10, 8]),
        "times": [Times(2.0, 1.0, 0.5, 0.0), Times(2.0, 1.5, 0.4, 0.1)],
        "complete": True,
        "stopped": "budget",
        "shades": (0.0, 1.0),
        "drifts": [],
        "relaxation": 0.25,
    }
    return Record(**{**values, **changes})


def layout(**changes: object) -> Layout:
    """What the results of such runs share."""
    values = {
        "grid": GRID,
        "dtype": np.float32,
        "images": range(1),
        "ranks": 2,
        "samples": 3,
        "drifts": 0,
        "with_truth": True,
        "provenance": PROVENANCE,
    }
    return Layout(**{**values, **changes})


def images(truth: bool = True) -> dict[str, NDArray[np.float32]]:
    """The images of the file: a picture, and noisier versions of it."""
    rows, cols = np.mgrid[: GRID.shape[0], : GRID.shape[1]]
    x = (0.5 + 0.4 * np.sin(rows / 4) * np.cos(cols / 6)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    found = {"data": x + np.float32(0.01) * noise, "start": x + np.float32(0.1) * noise}
    return {**found, "truth": x} if truth else found


def by_block(image: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32]]]:
    """What ``gather_blocks`` yields."""
    return [(i, image[GRID.block(i)]) for i in range(len(GRID))]


def example(
    path: Path, *, truth: bool = True, provenance: object = PROVENANCE, **changes: object
) -> Path:
    """Write a result file; ``changes`` replace fields of its record."""
    blocks = {name: by_block(image) for name, image in images(truth).items()}
    found = record(**changes)
    about = layout(with_truth=truth, samples=len(found.history), provenance=provenance)
    write_result(path, about, found, blocks)
    return path
