#!/usr/bin/env bash
# Ends the Slurm that slurm_up.sh FOLDER started, and no other: by its pid files.
set -uo pipefail
trap '' INT TERM # Ctrl-C in the tests must not leave daemons behind
folder=$1
ours() { [ "$(readlink "/etc/slurm/$1")" = "$folder/$1" ]; }
if ours slurm.conf; then
  scancel --quiet --user=root 2> /dev/null
  for _ in $(seq 100); do # KillWait and a little more
    [ -z "$(squeue -h 2> /dev/null)" ] && break
    sleep 0.1
  done
fi
for daemon in slurmd slurmctld munged; do
  file=$folder/$daemon.pid
  [ -s "$file" ] || continue
  pid=$(cat "$file")
  kill "$pid" 2> /dev/null
  for _ in $(seq 100); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
done
for conf in slurm.conf gres.conf; do
  ours "$conf" && rm "/etc/slurm/$conf"
done
rm -rf "$folder"
