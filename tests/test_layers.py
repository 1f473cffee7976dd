"""A room imports only rooms below it; the contracts are in setup.cfg."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LINT = Path(sys.executable).with_name("lint-imports")

PROGRAM = """
import importlib, pkgutil, sys
sys.modules["mpi4py"] = sys.modules["h5py"] = None
for room in ("operators", "denoisers", "red"):
    package = importlib.import_module(f"asyncred.{room}")
    for found in pkgutil.walk_packages(package.__path__, f"asyncred.{room}."):
        importlib.import_module(found.name)
"""


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Hold the package in ``source`` to the contracts."""
    command = [LINT, "--no-cache", "--config", REPOSITORY / "setup.cfg"]
    env = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def test_rooms_import_only_rooms_below():
    done = lint(REPOSITORY / "src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "words"),
    [
        ("operators/mask.py", "import asyncred.runtime.budget", "asyncred.operators"),
        ("red/guard.py", "import mpi4py", "asyncred.red is not allowed to import mpi4py"),
        ("runtime/plan.py", "import h5py", "asyncred.runtime is not allowed to import h5py"),
    ],
)
def test_one_line_breaks_a_contract(module, line, words, tmp_path):
    shutil.copytree(REPOSITORY / "src" / "asyncred", tmp_path / "asyncred")
    path = tmp_path / "asyncred" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1 and words in done.stdout and "BROKEN" in done.stdout


def test_the_mathematics_loads_without_mpi_and_hdf5():
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_house_stays_tidy():
    """Few entries at the top, no long module, no long function."""
    package = REPOSITORY / "src" / "asyncred"
    entries = [path.name for path in package.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 14, sorted(entries)
    long = [path for path in package.rglob("*.py") if len(path.read_text().splitlines()) > 300]
    assert not long
    assert not [found for path in package.rglob("*.py") for found in too_long(path)]


def too_long(path: Path) -> list[str]:
    """Functions of over 50 lines or with over 8 arguments besides self."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            names = [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if node.end_lineno - node.lineno >= 50 or count > 8:
                found.append(f"{path.name}: {node.name}")
    return found


def test_a_run_loads_of_scipy_what_it_uses():
    """Its subpackages take longer to load than all else; ``import scipy`` loads them when used."""
    code = (
        "import sys, asyncred.runtime.app; "
        "print(*(m for m in sys.modules if m.startswith('scipy.') and m.count('.') == 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith("scipy._")}
    assert loaded <= {"scipy.version"}
