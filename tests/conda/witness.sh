#!/bin/sh
# Stands for `python` in the jobs: has the python of the job say what it sees, and then is it.
python "$(dirname "$0")/witness.py" "$@" && exec python "$@"
