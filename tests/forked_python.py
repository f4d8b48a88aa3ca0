"""A Python that has the large packages loaded: a server that forks a process for each script.

Of a job's four seconds three go into importing torch and transformers, and of a dry run's two one
into importing Snakemake. Where tests look at what a script makes, and not at how its process starts
and ends, it runs in a fork of this one, with its own arguments, folder, environment and streams.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subprocess import CompletedProcess

LOADED = (
    *("torch", "transformers.trainer", "transformers.models.llama", "peft", "bitsandbytes"),
    *("rouge_score.rouge_scorer", "tyro", "jinja2", "pydantic", "scipy.stats", "pandas"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_pdf"),
    *("snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.report"),
)
HIDDEN = ("torchao", "optimum", "gptqmodel", "datasets", "sklearn")  # transformers would load them
OWN = ("gptq", "make_corpus.py", "fetch_model.py")
"""Words of a command that Python itself runs: gptqmodel changes transformers, others go online."""
SOURCE = Path(__file__).parents[1] / "src"
SNAKEMAKE = Path(sys.executable).with_name("snakemake")


def run(
    arguments: Sequence[str], folder: Path | None = None, **environment: str
) -> "CompletedProcess[str]":
    """Run a script of Python; with an environment of its own, in a process of its own."""
    import subprocess
    import tempfile

    all_of_it = os.environ | {"PYTHONPATH": str(SOURCE)} | environment
    if environment or not _forked(arguments):
        words = [sys.executable, *arguments]
        return subprocess.run(words, cwd=folder, env=all_of_it, capture_output=True, text=True)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        streams = (0, out.fileno(), errors.fileno())
        request = [list(arguments), all_of_it, str(folder or Path.cwd())]
        code = _ask(_address(), request, streams)
        texts = [stream.seek(0) or stream.read() for stream in (out, errors)]
    return subprocess.CompletedProcess(arguments, code, *texts)


def _forked(arguments: Sequence[str]) -> bool:
    program = Path(arguments[0])
    own = any(word in each for word in OWN for each in arguments)
    return program == SNAKEMAKE or (program.suffix == ".py" and not own)


def _ask(address: str, request: list[Any], streams: tuple[int, int, int]) -> int:
    """The exit code of a script that the server runs: its arguments, environment and folder."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], streams)
        code = connection.recv(1)
    return code[0] if code else 1  # without a code, it was killed


@cache
def _address() -> str:
    """Of the server, which ends with this process."""
    import atexit
    import shlex
    import subprocess
    import tempfile
    import time

    place = tempfile.TemporaryDirectory()
    atexit.register(place.cleanup)
    door, python = Path(place.name) / "door", Path(place.name) / "python"
    client = shlex.join([sys.executable, "-IS", __file__, str(door), sys.executable])
    python.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    python.chmod(0o755)
    quiet = {"HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "PYTHONPATH": ""}
    words = [sys.executable, __file__, str(door), str(python)]
    server = subprocess.Popen(words, env=os.environ | quiet, stderr=subprocess.DEVNULL)
    atexit.register(server.terminate)
    while not door.exists():
        assert server.poll() is None, "the server does not start"
        time.sleep(0.1)
    return str(door)


def serve(address: str, python: str) -> None:
    """Fork a process for each request, as long as the process that started this one lives; what
    runs here starts Python by the program `python`, which asks for a fork too."""
    import importlib
    import signal

    sys.modules |= dict.fromkeys(HIDDEN)  # type: ignore[arg-type]
    for name in LOADED:
        importlib.import_module(name)
    for name in HIDDEN:
        del sys.modules[name]
    starter = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    sys.executable = python
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
                _become(connection)
            connection.close()


def _become(connection: socket.socket) -> None:
    """Be the process that `connection` asks for."""
    import atexit
    import runpy
    import traceback

    import torch

    connection.settimeout(None)
    request, streams, *_ = socket.recv_fds(connection, 2**20, 3)
    sys.argv, environment, folder = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if "HF_HUB_OFFLINE" not in environment:  # which is read when it is imported
        for name in [each for each in sys.modules if each.startswith("huggingface_hub")]:
            del sys.modules[name]
    os.environ.clear()
    os.environ |= environment
    os.chdir(folder)
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [str(Path(sys.argv[0]).parent), *filter(None, paths)]
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        each.flush()
    connection.send(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    # With what `python` is called with, after the server's address and the Python without a fork.
    address, python, *arguments = sys.argv[1:]
    if not arguments:
        serve(address, python)
    elif _forked(arguments):
        sys.exit(_ask(address, [arguments, dict(os.environ), str(Path.cwd())], (0, 1, 2)))
    else:
        os.execv(python, [python, *arguments])
