"""Two emulated hosts against one: halo reads and updates per second. Needs root and iproute2.

python benchmarks/hosts.py [--repeats R]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import call, mpirun, rate, reconstruct, simulate, table

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "hosts"
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
    rates: dict[str, list[float]] = {name: [] for name in cases}
    call(HOSTS, "up")
    try:
        reads = {
            name: json.loads(
                call(*start, sys.executable, FOLDER / "halo_read.py", thread).splitlines()[-1]
            )
            for name, (start, _, thread) in cases.items()
        }
        with tempfile.TemporaryDirectory() as folder:
            problem = simulate(Path(folder) / "problem.h5", "--size", "320")
            for _ in range(options.repeats):
                for name, (start, thread, _) in cases.items():
                    flags = ("--updates", "640", "--threads", "1", "--progress-thread", thread)
                    rates[name].append(rate(reconstruct(2, problem, *flags, launcher=start)))
    finally:
        call(HOSTS, "down")
    base = np.median(rates["one host"])
    rows = [
        [
            name,
            f"{reads[name]['median']:.2f}",
            f"{reads[name]['worst']:.0f}",
            f"{reads[name]['call']:.0f}",
            f"{np.median(rates[name]):.1f}",
            f"{np.median(rates[name]) / base:.2f}",
        ]
        for name in cases
    ]
    head = ["set-up", "halo read, ms, median", "worst", "denoiser call, ms", "updates/s", "ratio"]
    print(table(head, rows))


main()
