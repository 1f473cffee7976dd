"""Several commands of asyncred in one start: that of Python takes longer than a small run.

    mpirun -n N python several.py '[["run", "problem.h5", ...], ...]'

On stderr each command's exit code follows what it wrote there.
"""

import json
import sys

from mpi4py import MPI

from asyncred.commands.cli import main

for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as end:
        if MPI.COMM_WORLD.rank == 0:
            print("exit code", end.code, file=sys.stderr, flush=True)
