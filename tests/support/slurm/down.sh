#!/bin/bash
# Ends the SLURM of up.sh, its jobs and daemons, by their process numbers: down.sh FOLDER
set -u
folder=$1
export SLURM_CONF=$folder/slurm.conf

alive() { # PID FILE: its process is one of SLURM's, and no zombie
    grep -qsE '^(munged|slurmctld|slurmd)$' "/proc/$(cat "$1" 2>/dev/null)/comm" &&
        grep -qsE '^State:\s+[^ZX]' "/proc/$(cat "$1")/status"
}

stop() { # PID FILE
    alive "$1" || return 0
    kill -TERM "$(cat "$1" 2>/dev/null)" 2>/dev/null
    for _ in $(seq 50); do alive "$1" || return 0; sleep 0.1; done
    kill -KILL "$(cat "$1")" 2>/dev/null
}

if alive "$folder/run/slurmctld.pid"; then
    timeout 10 scancel --user="$(id -un)"
    for _ in $(seq 40); do
        [[ -z $(timeout 5 squeue -h -t pending,running 2>/dev/null) ]] && break
        sleep 0.25
    done
fi
for process in /proc/[0-9]*; do # step daemons of jobs that did not end: ours by their environment
    [[ $(cat "$process/comm" 2>/dev/null) == slurmstepd ]] || continue
    cat "$process/environ" 2>/dev/null | tr '\0' '\n' | grep -qx "SLURM_CONF=$SLURM_CONF" &&
        kill -KILL "${process#/proc/}"
done
for daemon in "$folder"/run/slurmd-*.pid "$folder/run/slurmctld.pid" "$folder/run/munged.pid"; do
    stop "$daemon"
done
rm -rf "$folder"
