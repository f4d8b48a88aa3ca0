#!/usr/bin/env bash
# A real Slurm of one node on loopback, for the tests: no systemd, no slurmdbd, no cgroups.
# Usage, as root: slurm_up.sh FOLDER
# Everything is kept in FOLDER, which must be new, but for the link /etc/slurm/slurm.conf, which the
# executor's `srun` needs. slurm_down.sh FOLDER ends it and takes the link away.
# The node pretends to have four processors, so that jobs run side by side, and six GPUs, which are
# /dev/null and the like.
set -euo pipefail
folder=$1
conf=/etc/slurm/slurm.conf
die() { echo "error: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "slurm_up.sh needs root"
[ ! -e "$conf" ] && [ ! -L "$conf" ] || die "$conf is there: this machine has a Slurm, or slurm_down.sh was not run"
mkdir "$folder" || die "$folder is there; give a new one"
chmod 0755 "$folder"

missing() {
  for program in munged slurmctld slurmd sbatch srun squeue scontrol; do
    command -v "$program" > /dev/null || return 0
  done
  return 1
}
if missing; then
  command -v apt-get > /dev/null || die "Slurm and munge are not installed, and there is no apt-get"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; } \
    > "$folder/apt.log" 2>&1 || die "no slurm-wlm and munge by apt-get: $(tail -n 1 "$folder/apt.log")"
  ! missing || die "slurm-wlm and munge are installed, but without $program"
fi

mkdir -m 0700 "$folder/key" "$folder/state" "$folder/spool"
mkdir -m 0755 "$folder/munge"
name=$(hostname -s)
# A part of the memory, so that the tests' own processes keep some.
memory=$(awk '/MemTotal/{print int($2 / 1024 * 0.8)}' /proc/meminfo)

(umask 0377; head -c 1024 /dev/urandom > "$folder/key/munge.key")
# --force: the owner of the socket is root here, not a user of its own.
munged --force --key-file="$folder/key/munge.key" --socket="$folder/munge/socket" \
  --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/key/seed" \
  2> "$folder/munged.err" || die "munged does not start: $(tail -n 1 "$folder/munged.err")"

for device in null zero full random urandom ptmx; do
  echo "NodeName=$name Name=gpu File=/dev/$device"
done > "$folder/gres.conf"

cat > "$folder/slurm.conf" <<END
ClusterName=tests
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2,sched_min_interval=200000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
# A job of the partition "urgent" sends those of others away: SIGTERM, and after GraceTime SIGKILL.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
# No slurmdbd: squeue must still show jobs that have ended.
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=3600
# Memory is polled, since there are no cgroups to limit it.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
KillWait=5
OverTimeLimit=0
SlurmctldTimeout=30
SlurmdTimeout=60
NodeName=$name NodeAddr=127.0.0.1 CPUs=4 RealMemory=$memory Gres=gpu:6 State=UNKNOWN
PartitionName=cpu Nodes=$name Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=10
PartitionName=gpu Nodes=$name MaxTime=INFINITE PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=$name MaxTime=INFINITE PriorityTier=10
END
ln -s "$folder/slurm.conf" "$conf"
ln -s "$folder/gres.conf" /etc/slurm/gres.conf

slurmctld -c || die "slurmctld does not start: $(tail -n 1 "$folder/slurmctld.log")"
slurmd -c || die "slurmd does not start: $(tail -n 1 "$folder/slurmd.log")"
for _ in $(seq 100); do
  sinfo -h -p cpu -o %T 2> /dev/null | grep -qx idle && exit 0
  sleep 0.2
done
die "the node does not become idle: $(sinfo -h -o '%T %E' 2>&1 | head -n 1)"
