"""A secret that is planted wherever a user may have one is nowhere in what a run leaves behind."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, snakemake_command
from fake_hub import COMMIT, FakeHub, Fault, running
from muse_on_hub import NEWS, corpus, repository, tables
from small_configs import tiny

TINY = str(ROOT / "config/tiny.yaml")
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def secret() -> str:
    return f"hf_{secrets.token_hex(16)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to run in, with a configuration whose corpus is downloaded."""
    changes = {
        "corpus": {"source": "hub", "hub": {"news": NEWS}, "excerpt": {"texts": 3}},
        "revisions": {NEWS: COMMIT},
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run/hub.yaml").write_text(yaml.safe_dump(tiny(changes)), encoding="utf-8")
    return tmp_path / "run"


FROM_HUB = ("results/tiny/data/news", "--configfile", "hub.yaml")


def run(folder: Path, secret: str, *arguments: str, **more: str) -> Done:
    """The workflow where a token or a password could come from all places."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    (home / "token").write_text(secret)
    environment = os.environ | dict.fromkeys(("HOME", "HF_HOME"), str(home))
    environment |= dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), secret)
    environment |= {"HTTPS_PROXY": f"http://user:{secret}@127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    command = snakemake_command(*arguments, "--printshellcmds", "--verbose", "--show-failed-logs")
    return subprocess.run(
        command, cwd=folder, env=environment | more, capture_output=True, text=True
    )


def places(folder: Path, needle: str) -> Iterator[Path]:
    """The files below a folder, hidden ones too, that have the text in their content or name."""
    for path in folder.rglob("*"):
        plain = path.is_file() and not path.is_symlink()
        if needle in path.name or (plain and needle.encode() in path.read_bytes()):
            yield path


def nowhere(folder: Path, words: tuple[str, ...], *done: Done) -> None:
    for word in words:
        for one in done:
            assert word not in one.stdout + one.stderr
        assert not list(places(folder, word)), list(places(folder, word))


@contextmanager
def hub(*faults: Fault) -> Iterator[FakeHub]:
    served = FakeHub({f"datasets:{NEWS}": repository(tables(corpus()))})
    served.faults = list(faults)
    with running(served):
        yield served


def test_a_download_leaves_no_token(folder: Path, secret: str) -> None:
    with hub() as served:
        done = run(folder, secret, *FROM_HUB, HF_ENDPOINT=served.url)
    assert done.returncode == 0, done.stderr[-3000:]
    sent = [head.get("authorization") for _, _, head in served.requests]
    assert f"Bearer {secret}" in sent, "else the test would prove nothing"
    assert (folder / "results/tiny/data/news/manifest.json").exists()
    nowhere(folder, (secret, "Signature="), done)


SLOW = [pytest.param(status, marks=pytest.mark.slow) for status in (401, 404, 500)]


@pytest.mark.parametrize("status", [403, *SLOW])
def test_a_download_that_fails_tells_no_token(status: int, folder: Path, secret: str) -> None:
    path = "/cdn/" if status != 401 else ""  # after its address was signed, or at once
    with hub(Fault(path, status, times=99)) as served:
        # The address of a mirror may have a password; the line about it has the rest.
        address = served.url.replace(
            "http://", f"http://user:{secret}@" if status == 404 else "http://"
        )
        done = run(folder, secret, *FROM_HUB, HF_ENDPOINT=address)
    assert done.returncode != 0
    log = (folder / "results/tiny/logs/data/news.log").read_text(encoding="utf-8")
    assert "error: " in log
    nowhere(folder, (secret, "Signature="), done)


@pytest.mark.slow
def test_a_whole_run_its_report_and_a_failed_job_have_no_token(folder: Path, secret: str) -> None:
    done = run(folder, secret, "--configfile", TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    told = run(folder, secret, "--configfile", TINY, "--report", "report.html")
    assert told.returncode == 0, told.stderr[-3000:]
    assert (folder / "report.html").stat().st_size > 100_000
    (folder / "bad.yaml").write_text("unlearn: {settings: {max_tokens: 3, lr: 9.9e+20}}")
    shards = folder / "results/tiny/models/news/target/model.safetensors"
    shards.write_bytes(shards.read_bytes()[:-64])
    failed = run(folder, secret, "--configfile", TINY, "bad.yaml")
    assert failed.returncode != 0
    nowhere(folder, (secret,), done, told, failed)
    (folder / ".snakemake/log/x").write_bytes(b"\xff" + secret.encode())
    assert list(places(folder, secret)), "it would be found"
