"""A runner for the workflow, and one tiny finished run that several tests look at."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import forked_python
import pytest
from filelock import FileLock
from forked_python import SNAKEMAKE

# Tests run side by side: a thread each, as jobs of the workflow, and none that spins in waiting.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# A user's, which must be nowhere in what a run leaves behind.
SECRET = os.environ["HF_TOKEN"] = "hf_what_nobody_may_see"
SURROUNDINGS = frozenset(os.environ)

# A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
Snakemake = Callable[..., subprocess.CompletedProcess[str]]


def snakemake_command(*arguments: str) -> list[str]:
    """The command line that runs the project's workflow in the current folder."""
    return [str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]


@pytest.fixture(autouse=True)
def _no_cache_but_the_user_s() -> None:
    """gptqmodel's packages set HF_HUB_CACHE when they are imported, which a later test's own
    HF_HOME would not undo."""
    for name in set(os.environ) - SURROUNDINGS:
        if name.startswith("HF_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def snakemake() -> Snakemake:
    def run(
        folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return forked_python.run(snakemake_command(*arguments), folder, **environment or {})

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    """A folder in which the tiny experiment was run from corpus to figure; not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent  # of all workers: the first makes the run, the others wait for it
    folder = shared / "tiny run"
    with FileLock(shared / "tiny run.lock"):
        if not folder.exists():
            folder.mkdir()
            done = snakemake(folder, "--configfile", str(ROOT / "config/tiny.yaml"))
            assert done.returncode == 0, done.stderr[-3000:]
        assert (folder / "results/tiny/tables/main.md").exists(), "see the first worker's failure"
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> object:
    """The tokenizer of the tiny models."""
    from tiny_models import tiny_tokenizer  # here, for PyTorch takes seconds to import

    return tiny_tokenizer()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A target that knows nothing, and a corpus, for runs of unlearning."""
    from small_runs import make_start

    return make_start(tmp_path_factory.mktemp("start"))


@pytest.fixture
def autocast_left_as_it_was() -> object:
    """A context that is entered twice could leave autocast on for all that follows."""
    import torch

    yield
    assert not torch.is_autocast_enabled("cpu")
