"""The mathematics stands on its own: it imports neither MPI nor HDF5."""

import subprocess
import sys

MATHEMATICS = (
    "grid kernels calibration operators operators.block_random operators.coupled operators.mask "
    "operators.contract operators.full_footprint operators.factored "
    "operators.cartesian_mri operators.convolution operators.matrix operators.parallel_beam "
    "operators.rotation_axis operators.superresolution sampling stepsize metrics flaws metadata "
    "receptive receptive_rules "
    "provider denoiser derivative jacobian bound data images appraise red proximal "
    "values budget solver serial_red total_variation momentum draft continuation guard"
)

PROGRAM = """
import importlib, sys
sys.modules["mpi4py"] = sys.modules["h5py"] = None
for name in sys.argv[1:]:
    importlib.import_module(f"asyncred.{name}")
outside = {name.split(".")[1] for name in sys.modules if name.startswith("asyncred.")}
print(*sorted(outside - {name.split(".")[0] for name in sys.argv[1:]}))
"""


def test_mathematics_imports_no_mpi_and_no_hdf5():
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *MATHEMATICS.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"_kernels"}
