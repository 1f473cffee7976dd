#!/bin/bash
# One rank under srun: rank.sh FILE COMMAND...
# srun --kill-on-bad-exit ends all ranks as soon as one returns what is not 0, so that an orderly end
# of one, 2, 4, 74 or 75, would look like a fault of the others. These go into FILE, and srun sees 0.
file=$1
shift
trap : USR1 TERM # are for the program
"$@"
code=$?
[[ $code == 2 || $code == 4 || $code == 74 || $code == 75 ]] || exit $code
echo "$code" >"$file"
