#!/usr/bin/env bash
# Everything that a GPU is needed for, in one command: benchmarks/gpu.sh [WHEELS] [ARGUMENTS…]
# Installs what this machine lacks from a folder of wheels (`make gpu-wheels` fills it; no network
# is used) into .venv-gpu, beside what its Python has, and runs benchmarks/gpu_parts.py.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
wheels=${1:-wheels/gpu}
own=.venv-gpu

"$python" - "$@" <<'END'
import sys
from importlib.metadata import PackageNotFoundError, version

tested = {"torch": ((2, 11), (2, 13)), "transformers": ((5, 17), (5, 23))}  # first, last
for name, (first, last) in tested.items():
    try:
        found = version(name)
    except PackageNotFoundError:
        sys.exit(f"error: {sys.executable} has no {name}; set PYTHON to one that has")
    release = tuple(map(int, found.split("+")[0].split(".")[:2]))
    if not first <= release <= last:
        shown = [".".join(map(str, bound)) for bound in (first, last)]
        print(f"warning: {name} {found}; tested with {shown[0]} to {shown[1]}", file=sys.stderr)

import torch

if not torch.cuda.is_available() and "--miniature" not in sys.argv:
    sys.exit("error: torch sees no CUDA GPU here; use a machine with one, or --miniature True")
END

"$python" -m venv --clear --without-pip "$own"  # the machine's pip will do
# The machine's Python may itself be an environment, which --system-site-packages would pass over.
"$python" -c 'import site; print(*site.getsitepackages(), sep="\n")' > "$("$own/bin/python" -c \
    'import site; print(site.getsitepackages()[0])')/machine.pth"
if [ -d "$wheels" ]; then
    # A package that is there keeps its version: only what is missing is installed.
    "$own/bin/python" - "$wheels" > "$own/missing.txt" <<'END'
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for wheel in sorted(Path(sys.argv[1]).glob("*.whl")):
    try:
        version(wheel.name.split("-")[0])
    except PackageNotFoundError:
        print(wheel)
END
    [ ! -s "$own/missing.txt" ] || "$own/bin/python" -m pip install --quiet --no-index --no-deps \
        --no-compile --disable-pip-version-check -r "$own/missing.txt"
fi
export PYTHONPATH="$PWD/src:$PWD" PATH="$PWD/$own/bin:$PATH" HF_HUB_OFFLINE=1
exec "$own/bin/python" -m benchmarks.gpu_parts "${@:2}"
