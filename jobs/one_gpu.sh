#!/bin/bash
# Runs COMMAND on one GPU, that of this rank's place on its node: one_gpu.sh COMMAND...
# A rank for which there is none sees none, and says so itself: were it to end here, before MPI has
# begun, the others would wait for it.
IFS=, read -r -a gpus <<<"${CUDA_VISIBLE_DEVICES:-}"
place=${MPI_LOCALRANKID:-${OMPI_COMM_WORLD_LOCAL_RANK:-${SLURM_LOCALID:-0}}}
export CUDA_VISIBLE_DEVICES=${gpus[place]:-}
exec "$@"
