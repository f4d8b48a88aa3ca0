"""Write down in $WITNESS what the Python of a job is and which packages it can import."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("torch", "bitsandbytes", "gptqmodel", "matplotlib", "snakemake", "planted")

seen = {
    "script": Path(sys.argv[1]).name,
    "prefix": sys.prefix,
    "activated": os.environ.get("CONDA_PREFIX"),
    "PYTHONPATH": os.environ.get("PYTHONPATH"),
    "path": sys.path[1:],  # the first is this file's folder
    "importable": [name for name in PACKAGES if find_spec(name)],
}
Path(os.environ["WITNESS"], f"{os.getpid()}.json").write_text(json.dumps(seen))
