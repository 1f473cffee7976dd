"""Do all methods reach the same fixed point x*? One table; about a quarter of an hour on two cores.

The demo problem of the Async-RED paper's code: 240x240 pixels, 9 blocks of 80x80, 4356 of 6400
measurements a block at 30 dB, tau 0.8. x* is the end of a long run of GM-RED.

    python benchmarks/fixed_point.py [--folder DIR] [--tau TAU] [--tol TOL]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from asyncred.files.result import Result
from asyncred.grid import BlockGrid
from asyncred.metrics import seam_ratio, snr
from common import apart, rate, reconstruct, simulate, table

RUNS = [
    ("GM-RED", 1, ("--method", "gm")),
    ("BC-RED", 1, ("--method", "bc")),
    *(("Sync-RED", n, ("--method", "sync")) for n in (1, 2, 4)),
    *(("Async-RED-BG", n, ("--update", "gradient")) for n in (1, 2, 4)),
]
STOCHASTIC = [
    ("Async-RED-SG, w = m/4", n, ("--minibatch", "1089", "--decay", "250")) for n in (2, 4)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tau", default="0.8")
    parser.add_argument("--tol", default="1e-5", help="step of an epoch at which a run ends")
    parser.add_argument("--epochs", default="3000")
    parser.add_argument("--stochastic-epochs", default="2600")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        problem = simulate(folder / "problem.h5", "--size", "240")
        common = ("--tau", options.tau, "--report", "0.5")
        star = reconstruct(
            1, problem, *common, "--method", "gm", "--epochs", "4000", "--tol", "1e-6"
        )
        print(f"x*: GM-RED, {describe(star)}", flush=True)
        rows = []
        for name, ranks, flags in RUNS:
            budget = ("--epochs", options.epochs, "--tol", options.tol)
            rows.append(
                row(name, ranks, reconstruct(ranks, problem, *common, *budget, *flags), star)
            )
            print(rows[-1], flush=True)
        for name, ranks, flags in STOCHASTIC:
            budget = ("--epochs", options.stochastic_epochs)
            rows.append(
                row(name, ranks, reconstruct(ranks, problem, *common, *budget, *flags), star)
            )
            print(rows[-1], flush=True)
    head = ["method", "ranks", "epochs", "s", "SNR, dB", "x - x*, relative", "G^2/G0^2"]
    print(table([*head, "step of an epoch", "seams"], rows))


def row(name: str, ranks: int, found: Result, star: Result) -> list[str]:
    blocks = found.per_block.size
    distance = apart(found, star)
    return [
        name,
        str(ranks),
        f"{found.column('updates')[-1] / blocks:.0f}",
        f"{found.column('seconds')[-1]:.0f}",
        f"{snr(found.truth, found.image):.3f}",
        f"{distance:.1e}",
        f"{found.column('distance')[-1]:.1e}",
        f"{found.column('step')[-1]:.1e}",
        f"{seam_ratio(found.image, BlockGrid((240, 240), (80, 80))):.4f}",
    ]


def describe(found: Result) -> str:
    return ", ".join(row("", 1, found, found)[2:5]) + f" dB at {rate(found):.0f} updates/s"


main()
