#!/bin/bash
# A throw-away SLURM on this machine, as root and without systemd: up.sh FOLDER PROCESS
# Two nodes n1, n2 of 4 cores and 2 GPUs that are none; partitions main (default) and preempt, whose
# jobs main's requeue. Returns when all nodes are idle; down.sh FOLDER ends it, and is called if
# PROCESS is gone.
#   SLURM_TEST_PORT: the first of three TCP ports (27817)
set -euo pipefail
folder=$1 process=$2 port=${SLURM_TEST_PORT:-27817} host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf
mkdir -p "$folder"/{munge,run,log,state,spool,tmp}
chmod 755 "$folder" "$folder/munge"
(umask 077; head -c 128 /dev/urandom >"$folder/munge/key")

cat >"$SLURM_CONF" <<CONF
ClusterName=asyncred-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
# Under pmi2 MPICH names its shared memory after job and step, and takes what a killed one of the
# same name has left for its own: no number twice.
FirstJobId=$(($(date +%s) % 50000000 + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its credential has expired; below 5 s SLURM takes its own 120.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
TmpFS=$folder/tmp
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=pmi2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
JobRequeue=1
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1,requeue_delay=1
KillWait=3
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout=60
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
# The cores of the nodes are more than this machine may have.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=2 State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=preempt Nodes=ALL MaxTime=INFINITE DefaultTime=2 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
CONF
for gpu in 0 1; do mknod "$folder/gpu$gpu" c 1 3; done
for node in n1 n2; do
    for gpu in 0 1; do echo "NodeName=$node Name=gpu File=$folder/gpu$gpu"; done
done >"$folder/gres.conf"

# shellcheck disable=SC2016  # for the other shell
setsid bash -c 'while [[ -d $1 ]] && kill -0 "$2"; do sleep 1; done; [[ ! -d $1 ]] || "$3" "$1"' \
    watch "$folder" "$process" "$(realpath "$(dirname "$0")")/down.sh" </dev/null >/dev/null 2>&1 &

munged --force --num-threads=2 --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"
slurmctld -i -f "$SLURM_CONF"
for node in n1 n2; do
    mkdir -p "$folder/spool/$node"
    slurmd -N "$node" -f "$SLURM_CONF"
done
for _ in $(seq 100); do
    [[ $(sinfo -h -N -p main -t idle -o %N 2>/dev/null | wc -l) == 2 ]] && exit 0
    sleep 0.1
done
echo "nodes not up:" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
