"""Spack package: copy to repos/NAME/packages/py_asyncred/package.py of a repository of packages."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyAsyncred(PythonPackage):
    """Asynchronous block-parallel image reconstruction with deep denoisers over MPI."""

    pypi = "asyncred/asyncred-0.1.0.tar.gz"

    license("BSD-3-Clause")

    # Until there is a release with a checksum: spack develop --path CLONE py-asyncred@=main
    version("main")

    variant("tiff", default=False, description="Read and write TIFF files")
    variant("nifti", default=False, description="Write NIfTI files")

    depends_on("cxx", type="build")
    depends_on("python@3.10:", type=("build", "run"))
    depends_on("cmake@3.18:", type="build")
    depends_on("ninja", type="build")
    depends_on("py-setuptools", type="build")
    depends_on("py-scikit-build-core@1.0:", type="build")
    depends_on("py-nanobind@2.2:", type="build")

    depends_on("mpi", type=("build", "run"))
    depends_on("py-h5py", type=("build", "run"))
    depends_on("py-matplotlib", type=("build", "run"))
    depends_on("py-mpi4py@4:", type=("build", "run"))
    depends_on("py-numpy", type=("build", "run"))
    depends_on("py-onnx", type=("build", "run"))
    depends_on("py-onnxruntime", type=("build", "run"))
    depends_on("py-pillow", type=("build", "run"))
    depends_on("py-scipy", type=("build", "run"))
    depends_on("py-shtab", type=("build", "run"))
    depends_on("py-threadpoolctl", type=("build", "run"))
    depends_on("py-tomli", when="^python@:3.10", type=("build", "run"))
    depends_on("py-tqdm", type=("build", "run"))
    depends_on("py-hdf5plugin", type=("build", "run"))
    depends_on("py-tifffile", when="+tiff", type=("build", "run"))
    depends_on("py-nibabel", when="+nifti", type=("build", "run"))

    import_modules = ["asyncred", "asyncred.operators", "asyncred.runtime"]
