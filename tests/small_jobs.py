"""The resources that jobs request, which Snakemake prints only of rules without a message."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import snakemake_command

TELL = """
import json, sys
from snakemake import cli, jobs

def tell(job, *arguments, **keywords):
    print("ASKS", json.dumps([job.rule.name, job.wildcards_dict, dict(job.resources.items())]))

jobs.Job.log_info = tell
sys.argv = sys.argv[1:]
cli.main()
"""


def asked(folder: Path, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    """Rule -> the resources of each of its jobs, in a run of the workflow in `folder`."""
    command = [sys.executable, "-c", TELL, *snakemake_command(*arguments)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for line in run.stdout.splitlines():
        if line.startswith("ASKS "):
            rule, _, resources = json.loads(line.removeprefix("ASKS "))
            found.setdefault(rule, []).append(resources)
    return found
