# What the job scripts share; they source it. Which launcher, which program, when to start again.
#
#   ASYNCRED_MODULES         environment modules to load
#   ASYNCRED_VENV            virtual environment with asyncred in it
#   ASYNCRED_CONTAINER       Apptainer image with asyncred in it; ASYNCRED_CONTAINER_FLAGS: of `apptainer exec`
#   ASYNCRED_LAUNCHER        mpirun (default) or srun
#   ASYNCRED_SRUN_MPI        what srun's ranks speak (pmi2: MPICH; pmix: Open MPI)
#   ASYNCRED_CHECKPOINT      file to go on from, removed at the end (asyncred-JOB.checkpoint.h5)
#   ASYNCRED_CHECKPOINT_EVERY  minutes between checkpoints (10)
#   ASYNCRED_AGAIN           after a run that was put down: requeue, resubmit or no (the script's choice)
#   ASYNCRED_MAX_RESTARTS    times that a job is requeued or submitted again (20)
#   ASYNCRED_MAX_FAULTS      times that a fault is started again inside one allocation (3)
#   ASYNCRED_ANSWER_WITHIN   seconds after which a node that does not answer is given up, after a fault (30)
#   ASYNCRED_JOBS            folder of these scripts (jobs, where sbatch is called)
# shellcheck shell=bash

: "${ASYNCRED_JOBS:=jobs}" "${ASYNCRED_LAUNCHER:=mpirun}" "${ASYNCRED_SRUN_MPI:=pmi2}"
: "${ASYNCRED_AGAIN:=no}" "${ASYNCRED_MAX_RESTARTS:=20}" "${ASYNCRED_MAX_FAULTS:=3}"
: "${ASYNCRED_ANSWER_WITHIN:=30}"
: "${ASYNCRED_CHECKPOINT:=asyncred-$SLURM_JOB_ID.checkpoint.h5}" "${ASYNCRED_CHECKPOINT_EVERY:=10}"

PUT_DOWN=75
DIVERGED=4
NOT_WRITTEN=74
restarts=$((${SLURM_RESTART_COUNT:-0} + ${ASYNCRED_RESTARTS:-0}))
ranks=${SLURM_NTASKS:-1}
wrapper=()   # between launcher and program
pid='' signalled=''
ending=''    # where srun's ranks leave their exit code, if it is no fault's

say() { printf '[%(%T)T] job %s: %s\n' -1 "$SLURM_JOB_ID" "$*"; }

refuse() { # as asyncred does: one line, exit code 2
    echo "asyncred jobs: $*" >&2
    exit 2
}

expect() { # VARIABLE WORD...: one of these words
    local variable=$1 word
    shift
    for word; do [[ ${!variable} != "$word" ]] || return 0; done
    refuse "$variable is '${!variable}', expected one of: $*"
}

forward() { # MPICH, Open MPI and srun hand SIGUSR1 on to their ranks; not all do so with SIGTERM
    signalled=yes
    [[ -z $pid ]] || kill -USR1 "$pid" 2>/dev/null
}

enter_environment() {
    if [[ -n ${ASYNCRED_MODULES:-} ]]; then
        declare -F module >/dev/null ||
            refuse "ASYNCRED_MODULES is '$ASYNCRED_MODULES', but there is no function module here: expected" \
                "the environment of a shell that has it (sbatch --export=ALL)"
        # shellcheck disable=SC2086  # several modules
        module load $ASYNCRED_MODULES || refuse "module load $ASYNCRED_MODULES: exit code $?"
    fi
    [[ -z ${ASYNCRED_VENV:-} ]] || . "$ASYNCRED_VENV/bin/activate" || exit
    inside=()
    # shellcheck disable=SC2206  # several flags
    [[ -z ${ASYNCRED_CONTAINER:-} ]] ||
        inside=(apptainer exec ${ASYNCRED_CONTAINER_FLAGS:-} "$ASYNCRED_CONTAINER")
}

launcher() { # sets launch: the command that starts $ranks ranks
    launch=(mpirun -n "$ranks")
    [[ $ASYNCRED_LAUNCHER == srun ]] || return 0
    local nodes=$((ranks < SLURM_JOB_NUM_NODES ? ranks : SLURM_JOB_NUM_NODES))
    launch=(srun --mpi="$ASYNCRED_SRUN_MPI" --kill-on-bad-exit=1 --nodes="$nodes" --ntasks="$ranks")
    # since SLURM 22.05 srun does not take it from the job
    [[ -z ${SLURM_CPUS_PER_TASK:-} ]] || launch+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")
    [[ -z ${dead:-} ]] || launch+=(--exclude="$dead")
    ending=$PWD/.asyncred-$SLURM_JOB_ID.ending
    : >"$ending" # emptied, not removed: over NFS a name that was missing may stay so for a while
    launch+=(bash "$ASYNCRED_JOBS/rank.sh" "$ending")
}

await() { # PID: its exit code; a trap ends `wait`, so ask until the process is gone
    local code last
    while :; do
        wait "$1"
        code=$?
        kill -0 "$1" 2>/dev/null || break
    done
    wait "$1" 2>/dev/null
    last=$?
    return $((last == 127 ? code : last))
}

attempt() { # ARGUMENTS OF asyncred: one start on $ranks ranks; its exit code
    launcher
    say "${launch[*]} asyncred $*"
    "${launch[@]}" "${wrapper[@]}" "${inside[@]}" asyncred "$@" &
    pid=$!
    await "$pid"
    local code=$?
    pid=''
    [[ $code != 0 || ! -s $ending ]] || code=$(<"$ending")
    rm -f "$ending"
    return "$code"
}

output_of() { # ARGUMENTS OF asyncred run: its output file
    local file=''
    while (($#)); do
        case $1 in
            -o | --output) file=${2:-} ;;
            --output=*) file=${1#*=} ;;
        esac
        shift
    done
    echo "$file"
}

state_of() { # RESULT: complete, stack (some images are not) or cut; nothing where there is none
    [[ -f $1 ]] || return 0
    "${inside[@]}" python -c '
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    done = file["entry/complete"][:]
print("complete" if done.all() else "stack" if len(done) > 1 else "cut")' "$1"
}

can_resume() { # OUTPUT: a checkpoint, that of one of several images, or a part of these images
    [[ -e $ASYNCRED_CHECKPOINT ]] && return
    compgen -G "${ASYNCRED_CHECKPOINT%.h5}.[0-9]*.h5" >/dev/null && return
    [[ $(state_of "$1") == stack ]]
}

keep_survivors() { # after a fault: go on with the nodes that still answer
    local node alive=() gone=()
    for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
        if timeout "$ASYNCRED_ANSWER_WITHIN" \
            srun --mpi=none --overlap --nodes=1 --ntasks=1 --nodelist="$node" true; then
            alive+=("$node")
        else
            gone+=("$node")
        fi
    done
    ((${#gone[@]})) || return 0
    ((${#alive[@]})) || return 1
    local IFS=, count=${#alive[@]}
    dead=${dead:+$dead,}${gone[*]}
    ranks=$((ranks * count / SLURM_JOB_NUM_NODES))
    ((ranks)) || ranks=1
    say "no answer from $dead; $ranks ranks on ${alive[*]}"
    # mpirun reads these
    export SLURM_JOB_NODELIST="${alive[*]}" SLURM_NODELIST="${alive[*]}"
    export SLURM_JOB_NUM_NODES=$count SLURM_NNODES=$count SLURM_NTASKS=$ranks SLURM_NPROCS=$ranks
    export SLURM_TASKS_PER_NODE="$(((ranks + count - 1) / count))(x$count)"
}

again() { # give the allocation back and come again, unless the job is being cancelled
    if [[ $ASYNCRED_AGAIN == no || $(squeue -h -j "$SLURM_JOB_ID" -o %T) != RUNNING ]]; then
        return $PUT_DOWN
    elif ((restarts >= ASYNCRED_MAX_RESTARTS)); then
        say "not started again: ASYNCRED_MAX_RESTARTS is $ASYNCRED_MAX_RESTARTS"
        return $PUT_DOWN
    fi
    say "restart $((restarts + 1)): $ASYNCRED_AGAIN"
    "$ASYNCRED_AGAIN"
}

requeue() { # SLURM ends this shell; to return before it does would end the job
    trap '' USR1 TERM
    scontrol requeue "$SLURM_JOB_ID" || return $PUT_DOWN
    trap 'exit $PUT_DOWN' TERM
    sleep 300 &
    wait $!
    return $PUT_DOWN
}

resubmit() { # $0 is SLURM's copy of the script; arguments of sbatch itself are not in it
    local time
    time=$(squeue -h -j "$SLURM_JOB_ID" -o %l)
    export ASYNCRED_CHECKPOINT ASYNCRED_RESTARTS=$((restarts + 1))
    env -u SLURM_RESTART_COUNT sbatch --job-name="$SLURM_JOB_NAME" --time="$time" \
        --partition="$SLURM_JOB_PARTITION" --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$ranks" \
        ${SLURM_ARRAY_TASK_ID:+--array="$SLURM_ARRAY_TASK_ID"} "$0" "${arguments[@]}"
    return $PUT_DOWN
}

recover() { # ARGUMENTS OF asyncred run: run it to its end, through time limits and faults
    local faults=0 code output keep
    output=$(output_of "$@")
    while :; do
        keep=(--checkpoint "$ASYNCRED_CHECKPOINT")
        if [[ " $* " != *" --overwrite "* ]] || ((restarts + faults)); then
            ! can_resume "$output" || keep=(--resume "$ASYNCRED_CHECKPOINT")
        fi
        attempt run "$@" "${keep[@]}" --checkpoint-every "$ASYNCRED_CHECKPOINT_EVERY"
        code=$?
        say "exit code $code"
        case $code in
            0) rm -f "$ASYNCRED_CHECKPOINT" "$ASYNCRED_CHECKPOINT.previous"; return 0 ;;
            2 | "$DIVERGED" | "$NOT_WRITTEN") return $code ;; # would end so again
        esac
        # a signal that comes before asyncred expects it kills it
        [[ $code == "$PUT_DOWN" || $signalled ]] && { again; return; }
        ((++faults <= ASYNCRED_MAX_FAULTS)) || return $code
        keep_survivors || return $code
        say "fault $faults of at most $ASYNCRED_MAX_FAULTS: once more from the last checkpoint"
    done
}

expect ASYNCRED_LAUNCHER mpirun srun
expect ASYNCRED_AGAIN requeue resubmit no
[[ $ASYNCRED_CHECKPOINT == *.h5 ]] || refuse "ASYNCRED_CHECKPOINT is '$ASYNCRED_CHECKPOINT', expected *.h5"
arguments=("$@")
for word; do
    [[ $word != --checkpoint && $word != --resume ]] || refuse "$word: expected in ASYNCRED_CHECKPOINT"
done
enter_environment
trap forward USR1 TERM
