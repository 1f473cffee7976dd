#!/bin/bash
# An array over a manifest and, when all of it is done, a job that merges and reports:
#   jobs/chain.sh MANIFEST MERGED.h5 [OPTIONS OF sbatch FOR THE ARRAY]
set -eu
manifest=$1 merged=$2 jobs=${ASYNCRED_JOBS:-jobs}
shift 2
tasks=$(grep -c '' "$manifest")
array=$(sbatch --parsable --array="1-$tasks" "$@" "$jobs/array_datasets.sbatch" "$manifest")
report=$(sbatch --parsable --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes \
    "$jobs/report.sbatch" "$manifest" "$merged")
echo "array ${array%%;*}, report ${report%%;*}"
