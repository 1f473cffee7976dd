"""All files: problems, results and checkpoints in HDF5, pictures; whole or not there at all."""
