"""Files that are damaged at random: is each read, or refused in one line, and nothing else?

Problems, a checkpoint and a result are made once. Of each, copies are made in which bytes are
changed, the end is cut off, or a dataset, attribute or link is replaced by something else. A child
process reads each copy, as `check`, `--resume` and `show` do, within limits of time and memory. A
checkpoint or result that was changed and is taken all the same has to give the same numbers.

    python benchmarks/fuzz.py [--cases 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import h5py

import asyncred
from asyncred.files.checkpoint_reading import read_block, read_blocks, read_parameters, read_past
from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.grid import BlockGrid
from common import simulate, table

SECONDS = 10
MEMORY = 1 << 30
"""Bytes a reader may use more than it had at first."""

Read = Callable[[Path], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, found = np.random.default_rng(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = made(folder)
        for number in range(options.cases):
            name = str(rng.choice(list(files)))
            source, read, exact = files[name]
            copy = folder / f"copy-{source.name}"
            copy.write_bytes(source.read_bytes())
            damage(copy, rng)
            outcome, words = tried(copy, read, exact)
            found[outcome] += 1
            if outcome.isupper():
                print(number, name, outcome, words, flush=True)
    print(table(["outcome", "files"], [[name, count] for name, count in sorted(found.items())]))
    sys.exit(any(name.isupper() for name in found))


def made(folder: Path) -> dict[str, tuple[Path, Read, bytes | None]]:
    """Files by name, what reads each, and what that has to give where the file is taken."""
    flags = ("--size", "32", "--block", "16")
    files: dict[str, tuple[Path, Read, bytes | None]] = {}
    for kind in ("cs", "ct", "blur", "inpaint", "mri"):
        path = simulate(folder / f"{kind}.h5", *flags, kind=kind)
        files[kind] = path, of_problem, None
    kept, result = folder / "c.h5", folder / "r.h5"
    common = {"denoiser": "tv", "sigma": 5, "threads": 1, "epochs": 2, "report": 1e-3}
    asyncred.run(folder / "cs.h5", result, checkpoint=kept, **common)
    with h5py.File(kept) as file:
        sha = str(file.attrs["input_sha256"])

    def of_checkpoint(path: Path) -> bytes:
        grid = BlockGrid((32, 32), read_block(path))
        read_parameters(path)
        past = read_past(path, grid=grid, image=0, input_sha256=sha, dtype=np.float32)
        blocks = read_blocks(path, grid, list(range(len(grid))))
        x = b"".join(np.ascontiguousarray(block).tobytes() for block in blocks.x.values())
        return x + past.per_block.tobytes() + past.pace.tobytes() + past.delays.tobytes()

    files["checkpoint"] = kept, of_checkpoint, of_checkpoint(kept)
    files["result"] = result, of_result, of_result(result)
    return files


def of_problem(path: Path) -> object:
    problem = read_problem(path)
    problem.data.check()
    problem.doubts(problem.shades)
    if problem.has_truth:
        problem.truth(problem.grid.block(0), problem.images[0])
    return b""


def of_result(path: Path) -> bytes:
    return read_result(path).image.tobytes()


def damage(path: Path, rng: np.random.Generator) -> None:
    """Change a file somehow."""
    if rng.random() < 0.4 and structure(path, rng):
        return
    content = bytearray(path.read_bytes())
    if rng.random() < 0.1:
        path.write_bytes(content[: rng.integers(0, len(content))])
        return
    # metadata lies mostly at the beginning
    reach = len(content) if rng.random() < 0.5 else min(len(content), 4096)
    for _ in range(int(rng.integers(1, 9))):
        content[rng.integers(0, reach)] = rng.integers(0, 256)
    path.write_bytes(content)


def structure(path: Path, rng: np.random.Generator) -> bool:
    """Replace a dataset, attribute or group by something else; whether that was possible."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(rng.choice(names))
        node = file[name]
        attrs = list(node.attrs)
        values = [h5py.Empty("f4"), "word", np.nan, -1, 2**62, np.zeros((0, 3)), b"\xff", 1e-300]
        value = values[rng.integers(len(values))]
        if attrs and rng.random() < 0.5:
            node.attrs[str(rng.choice(attrs))] = value
            return True
        del file[name]
        way = rng.integers(5)
        if way == 0:
            file[name] = value if not isinstance(value, h5py.Empty) else 0
        elif way == 1:
            file[name] = h5py.SoftLink(f"/{name}")
        elif way == 2:
            file.create_group(name)
        elif way == 3:
            file[name] = np.dtype("f4")
        elif rng.random() < 0.5:
            file.create_dataset(name, data=h5py.Empty("f4"))
        else:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    return True


def tried(path: Path, read: Read, exact: bytes | None) -> tuple[str, str]:
    """What a child process makes of a file."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        os.write(send, "\t".join(inside(path, read, exact)).encode(errors="replace")[:3000])
        os._exit(0)
    os.close(send)
    start = time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - start > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(receive)
            return "HANG", ""
        time.sleep(1e-3)
    with os.fdopen(receive, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    if os.WIFSIGNALED(status):
        # `check` reads in a child of its own, and says so in one line
        return "the child was ended by a signal", ""
    outcome, _, words = told.partition("\t")
    return outcome, words


def inside(path: Path, read: Read, exact: bytes | None) -> tuple[str, str]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    try:
        found = read(path)
    except (ValueError, OSError) as error:
        named = str(path) in str(error)
        return ("refused in one line" if named else "NOT NAMED"), str(error)
    except BaseException:
        return "TRACEBACK", traceback.format_exc()
    if exact is not None and found != exact:
        return "OTHER NUMBERS", ""
    return "read", ""


main()
