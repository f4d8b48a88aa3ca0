"""A secret that is planted wherever a user may have one is nowhere in what a run leaves behind."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, snakemake_command
from fake_hub import COMMIT, FakeHub, Fault, running
from muse_on_hub import NEWS, corpus, repository, tables
from small_configs import tiny

TINY = str(ROOT / "config/tiny.yaml")


@pytest.fixture
def secret() -> str:
    return f"hf_{secrets.token_hex(16)}"


def surroundings(home: Path, secret: str, **more: str) -> dict[str, str]:
    """All places from which a token or a password could come."""
    home.mkdir(exist_ok=True)
    (home / "token").write_text(secret)
    return os.environ | {
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_TOKEN": secret,
        "HUGGING_FACE_HUB_TOKEN": secret,
        "HTTPS_PROXY": f"http://user:{secret}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        **more,
    }


def places(folder: Path, needle: str) -> Iterator[Path]:
    """The files below a folder, hidden ones too, that have the text in their content or name."""
    for path in folder.rglob("*"):
        plain = path.is_file() and not path.is_symlink()
        if needle in path.name or (plain and needle.encode() in path.read_bytes()):
            yield path


def run(
    folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = snakemake_command(*arguments, "--printshellcmds", "--verbose", "--show-failed-logs")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def nowhere(
    secret: str, folder: Path, *done: subprocess.CompletedProcess[str], words: tuple[str, ...] = ()
) -> None:
    for word in (secret, *words):
        for one in done:
            assert word not in one.stdout + one.stderr
        assert not list(places(folder, word)), list(places(folder, word))


@pytest.fixture
def from_hub(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder to run in, with a corpus that is downloaded."""
    folder = tmp_path / "run"
    folder.mkdir()
    changes = {
        "corpus": {"source": "hub", "hub": {"news": NEWS}, "excerpt": {"texts": 3}},
        "revisions": {NEWS: COMMIT},
    }
    (folder / "hub.yaml").write_text(yaml.safe_dump(tiny(changes)), encoding="utf-8")
    return folder, ["results/tiny/data/news", "--configfile", "hub.yaml"]


def test_a_download_leaves_no_token(
    from_hub: tuple[Path, list[str]], tmp_path: Path, secret: str
) -> None:
    folder, arguments = from_hub
    served = FakeHub({f"datasets:{NEWS}": repository(tables(corpus()))})
    with running(served):
        environment = surroundings(tmp_path / "home", secret, HF_ENDPOINT=served.url)
        done = run(folder, environment, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    sent = [head.get("authorization") for _, _, head in served.requests]
    assert f"Bearer {secret}" in sent, "else the test would prove nothing"
    assert (folder / "results/tiny/data/news/manifest.json").exists()
    nowhere(secret, folder, done, words=("Signature=",))


SLOW = [pytest.param(status, marks=pytest.mark.slow) for status in (401, 404, 500)]


@pytest.mark.parametrize("status", [403, *SLOW])
def test_a_download_that_fails_tells_no_token(
    status: int, from_hub: tuple[Path, list[str]], tmp_path: Path, secret: str
) -> None:
    folder, arguments = from_hub
    served = FakeHub({f"datasets:{NEWS}": repository(tables(corpus()))})
    path = "/cdn/" if status != 401 else ""  # after its address was signed, or at once
    served.faults = [Fault(path, status, times=99)]
    with running(served):
        environment = surroundings(tmp_path / "home", secret, HF_ENDPOINT=served.url)
        done = run(folder, environment, *arguments)
    assert done.returncode != 0
    log = (folder / "results/tiny/logs/data/news.log").read_text(encoding="utf-8")
    assert log.startswith("error: ") or "\nerror: " in log
    nowhere(secret, folder, done, words=("Signature=",))


@pytest.mark.slow
def test_an_address_with_a_password_is_not_told(
    from_hub: tuple[Path, list[str]], tmp_path: Path, secret: str
) -> None:
    """HF_ENDPOINT of a mirror may have one; the line about it has the rest of the address."""
    folder, arguments = from_hub
    with running(FakeHub({})) as served:
        address = served.url.replace("http://", f"http://user:{secret}@")
        environment = surroundings(tmp_path / "home", "hf_other", HF_ENDPOINT=address)
        done = run(folder, environment, *arguments)
    assert done.returncode != 0
    nowhere(secret, folder, done)


@pytest.mark.slow
def test_a_whole_run_its_report_and_a_failed_job_have_no_token(tmp_path: Path, secret: str) -> None:
    """From corpus to report, and once more with a job that fails."""
    folder = tmp_path / "run"
    folder.mkdir()
    environment = surroundings(tmp_path / "home", secret)
    done = run(folder, environment, "--configfile", TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    told = run(folder, environment, "--configfile", TINY, "--report", "report.html")
    assert told.returncode == 0, told.stderr[-3000:]
    assert (folder / "report.html").stat().st_size > 100_000
    (folder / "bad.yaml").write_text("unlearn: {settings: {max_tokens: 3, lr: 9.9e+20}}")
    shards = folder / "results/tiny/models/news/target/model.safetensors"
    shards.write_bytes(shards.read_bytes()[:-64])
    failed = run(folder, environment, "--configfile", TINY, "bad.yaml")
    assert failed.returncode != 0
    nowhere(secret, folder, done, told, failed)


def test_it_would_be_found(tmp_path: Path, secret: str) -> None:
    """What looks for it does see hidden files and names."""
    (tmp_path / ".snakemake/log").mkdir(parents=True)
    (tmp_path / ".snakemake/log/x").write_bytes(b"\xff" + secret.encode())
    (tmp_path / f"a-{secret}").touch()
    assert len(list(places(tmp_path, secret))) == 2
