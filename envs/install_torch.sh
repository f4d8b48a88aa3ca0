#!/usr/bin/env bash
# Install the pinned torch for the interpreter $1: a CPU build where there is no NVIDIA GPU.
# The package index's own build for Linux brings several GB of CUDA libraries; uv knows where the
# small CPU builds are and is used only if pip would take a CUDA build.
set -euo pipefail
python=$1
torch=$(grep '^torch==' "$(dirname "$0")/pip/run.txt")

if nvidia-smi >/dev/null 2>&1; then
    exec "$python" -m pip install "$torch"
fi
if "$python" -m pip install --dry-run --quiet --report - "$torch" | grep -Eq '"name": "(nvidia|cuda|triton)'; then
    "$python" -m pip install --quiet "uv==0.13.9"
    exec "$python" -m uv pip install --python "$python" --torch-backend=cpu "$torch"
fi
exec "$python" -m pip install "$torch"
