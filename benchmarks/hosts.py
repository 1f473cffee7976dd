"""Two emulated hosts against one: halo reads and updates per second. Needs root and iproute2.

Compressive sensing, whose blocks share the image alone, and tomography, which shares A x - y too.

python benchmarks/hosts.py [--repeats R]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import call, mpirun, rate, reconstruct, simulate, table

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "support" / "hosts"
HOSTS = FOLDER / "hosts.sh"
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    two = (HOSTS, "on", ADDRESSES[0], mpirun(), "-launcher", "ssh", "-launcher-exec", HOSTS)
    two += ("-hosts", ",".join(ADDRESSES), "-n", "2")
    one = (mpirun(), "-n", "2")
    cases = {
        "one host": (one, "auto", "off"),
        "two hosts, progress thread": (two, "auto", "on"),
        "two hosts, none": (two, "off", "off"),
    }
    kinds = {
        "cs": ("--size", "320"),
        "ct": ("--size", "480", "--block", "120", "--views", "90"),
    }
    rates: dict[str, dict[str, list[float]]] = {k: {name: [] for name in cases} for k in kinds}
    call(HOSTS, "up")
    try:
        reads = {
            name: json.loads(
                call(*start, sys.executable, FOLDER / "halo_read.py", thread).splitlines()[-1]
            )
            for name, (start, _, thread) in cases.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            problems = {
                kind: simulate(Path(folder) / f"{kind}.h5", *flags, kind=kind)
                for kind, flags in kinds.items()
            }
            for _ in range(options.repeats):
                for (name, (start, thread, _)), kind in itertools.product(cases.items(), kinds):
                    flags = ("--updates", "640", "--threads", "1", "--update", "gradient")
                    flags += ("--progress-thread", thread)
                    found = reconstruct(2, problems[kind], *flags, launcher=start)
                    rates[kind][name].append(rate(found))
    finally:
        call(HOSTS, "down")
    medians = {k: {name: np.median(rates[k][name]) for name in cases} for k in kinds}
    rows = [
        [
            name,
            f"{reads[name]['median']:.2f}",
            f"{reads[name]['worst']:.0f}",
            f"{reads[name]['call']:.0f}",
            *(
                f"{medians[k][name]:.1f} ({medians[k][name] / medians[k]['one host']:.2f})"
                for k in kinds
            ),
        ]
        for name in cases
    ]
    head = ["set-up", "halo read, ms, median", "worst", "denoiser call, ms"]
    head += [f"{kind}, updates/s (ratio)" for kind in kinds]
    print(table(head, rows))


main()
