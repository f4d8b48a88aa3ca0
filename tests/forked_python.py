"""A Python that has the large packages loaded: a server that forks a process for each script.

Of a job's four seconds three go into importing torch and transformers, and of a dry run's two one
into importing Snakemake. Where tests look at what the workflow makes, and not at how its processes
start and end, this file stands for `python`: `client` asks the server for a process with its own
arguments, folder, environment and streams. What a server cannot have loaded runs on Python itself.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

LOADED = (
    *("torch", "transformers.trainer", "transformers.models.llama", "peft", "bitsandbytes"),
    *("rouge_score.rouge_scorer", "tyro", "jinja2", "pydantic", "scipy.stats", "pandas"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_pdf"),
    *("snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.report"),
)
HIDDEN = ("torchao", "optimum", "gptqmodel", "datasets", "sklearn")
"""What transformers would import on sight."""
OWN = ("gptq", "_corpus.py", "fetch_model.py")
"""Words of a command that Python itself runs: gptqmodel changes transformers, others go online."""


def client(address: str, python: str, arguments: list[str]) -> int:
    """Run a script and return its exit code, or become Python itself."""
    if not arguments[0].endswith(".py") or any(own in each for own in OWN for each in arguments):
        os.execv(python, [python, *arguments])
    return ask(address, arguments, os.environ, Path.cwd(), (0, 1, 2))


def ask(
    address: str,
    arguments: list[str],
    environment: Mapping[str, str],
    folder: Path,
    streams: tuple[int, int, int],
) -> int:
    """The exit code of a script that the server runs."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        request = json.dumps([arguments, dict(environment), str(folder)]).encode()
        socket.send_fds(connection, [request], streams)
        code = connection.recv(1)
    return code[0] if code else 1  # without a code, it was killed


def serve(address: str, python: str) -> None:
    """Fork a process for each request, as long as the process that started this one lives.

    Args:
        python: the program that calls `client`, for what is started by what is run here.
    """
    import importlib
    import signal

    sys.modules |= dict.fromkeys(HIDDEN)
    for name in LOADED:
        importlib.import_module(name)
    for name in HIDDEN:
        del sys.modules[name]
    starter = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{address}.new")
        door.listen(64)
        door.settimeout(1)
        Path(f"{address}.new").rename(address)  # there as soon as it is open
        while os.getppid() == starter:
            try:
                connection, _ = door.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                door.close()
                sys.executable = python
                _run(connection)
            connection.close()


def _of_hub(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("HF_")}


def _run(connection: socket.socket) -> None:
    """Be the process that `connection` asks for."""
    import atexit
    import runpy
    import traceback

    import torch

    connection.settimeout(None)
    request, streams, *_ = socket.recv_fds(connection, 2**20, 3)
    arguments, environment, folder = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if _of_hub(environment) != _of_hub(os.environ):  # which it reads when it is imported
        for name in [each for each in sys.modules if each.startswith("huggingface_hub")]:
            del sys.modules[name]
    os.environ.clear()
    os.environ |= environment
    os.chdir(folder)
    sys.argv = arguments
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [str(Path(arguments[0]).parent), *filter(None, paths)]
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))
    code = 0
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        each.flush()
    connection.send(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    what, address, python, *arguments = sys.argv[1:]
    sys.exit(serve(address, python) if what == "serve" else client(address, python, arguments))
