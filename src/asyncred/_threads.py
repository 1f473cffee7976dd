"""One BLAS thread a process, set before NumPy is imported: the threads of a rank are ours to give.

ONNX Runtime and the kernels get theirs from ``asyncred.placement``. A value the user set stays.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
