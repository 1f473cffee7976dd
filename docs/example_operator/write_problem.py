"""python write_problem.py PROBLEM.h5: a 32x32 picture seen by 1536 patterns of +1 and -1."""

import sys

import numpy as np

import h5py

from asyncred.files.pictures import load_image

GROUPS, LENGTH = 64, 24


def write_problem(path):
    """Write the problem file."""
    rng = np.random.default_rng(0)
    truth = load_image("camera", size=32)
    patterns = rng.choice(np.array([-1, 1], np.int8), (GROUPS, LENGTH, *truth.shape))
    y = np.tensordot(patterns.astype(np.float32), truth, axes=2)
    y += 0.01 * y.std() * rng.standard_normal(y.shape, dtype=np.float32)
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "asyncred-problem", "version": 1})
        file.create_group("image").attrs.update({"shape": truth.shape, "block": (8, 8)})
        file["operator/patterns"] = patterns
        file["operator"].attrs["kind"] = "single_pixel"
        file["measurements/y"] = y
        file["truth"] = truth  # only for the SNR, where it is known


if __name__ == "__main__":
    write_problem(sys.argv[1])
