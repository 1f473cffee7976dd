"""Does the proximal update end where the paper's gradient does, whatever the problem?

240x240 pixels, 9 blocks of 80x80, 4356 of 6400 measurements a block; fast-s5. Other images, another
tau, another noise level; and a denoiser that takes twice away what fast-s5 does, which is far from
nonexpansive. x* is GM-RED, at a step of 1e-6 an epoch. The run is the default one on two ranks.

    pip install scikit-image pooch
    python benchmarks/variations.py [--epochs 40] [--only TEXT] [--folder DIR]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from asyncred.denoisers.shipped import model_path
from asyncred.files.result import Result
from asyncred.metrics import snr
from common import apart, photograph, reconstruct, simulate, star_of, table

CASES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "camera": ("camera", (), ()),
    "coffee": ("coffee", (), ()),
    "chelsea": ("chelsea", (), ()),
    "astronaut": ("astronaut", (), ()),
    "camera, tau 0.4": ("camera", (), ("--tau", "0.4")),
    "camera, tau 1.6": ("camera", (), ("--tau", "1.6")),
    "camera, 25 dB": ("camera", ("--noise-snr", "25"), ()),
    "camera, 40 dB": ("camera", ("--noise-snr", "40"), ()),
    "camera, expansive": ("camera", (), ("--denoiser", "EXPANSIVE")),
}
"""By name: image, flags of simulate, flags of all runs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", default="40")
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", type=Path, help="keep problems and x* here")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name, (image, problem_flags, flags) in CASES.items():
            if options.only not in name:
                continue
            picture = image if image == "camera" else photograph(image, folder / f"{image}.npy")
            stem = name.replace(", ", "-").replace(" ", "-")
            problem = folder / f"{stem}.h5"
            simulate(problem, "--image", picture, "--size", "240", *problem_flags)
            told = tuple(expansive(folder) if flag == "EXPANSIVE" else flag for flag in flags)
            star = star_of(problem, folder / f"{stem}-star.h5", *told)
            found = reconstruct(2, problem, "--threads", "1", "--epochs", options.epochs, *told)
            rows.append(row(name, found, star))
            print(rows[-1], flush=True)
    head = ["", "x*, SNR, dB", "found, dB", "x - x*, relative", "step", "steps relaxed to"]
    print(table(head, rows))


def row(name: str, found: Result, star: Result) -> list[str]:
    distance = apart(found, star)
    return [
        name,
        f"{snr(star.truth, star.image):.3f}",
        f"{snr(found.truth, found.image):.3f}",
        f"{distance:.1e}",
        f"{found.column('step')[-1]:.1e}",
        f"{found.provenance['relaxation']:g}",
    ]


def expansive(folder: Path) -> str:
    """x - 2 (x - D(x)), D = fast-s5, as an ONNX file."""
    source, path = model_path("fast-s5"), folder / "expansive.onnx"
    assert source is not None
    model = onnx.load(str(source))
    x, y = model.graph.input[0].name, model.graph.output[0].name
    del model.metadata_props[:]
    model.graph.initializer.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
    model.graph.node.extend(
        [
            helper.make_node("Sub", [x, y], ["taken"]),
            helper.make_node("Mul", ["taken", "two"], ["twice"]),
            helper.make_node("Sub", [x, "twice"], ["beyond"]),
        ]
    )
    model.graph.output[0].name = "beyond"
    onnx.save(model, str(path))
    return str(path)


main()
