"""Broken corpora and checkpoints at random: refused in one line that names the file."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_configs
import yaml
from conftest import Snakemake
from hypothesis import strategies as st
from small_corpora import run_script
from small_fuzz import as_bytes, complaint, every, nothing_new, write_tree

from qunlearn.corpora import layout, mini
from qunlearn.experiment import config, configfiles, inputs
from qunlearn.settings.corpora import MiniSettings

NEWS = mini.generate("news", MiniSettings(forget=3, retain=3, holdout=3, pretrain=6))
FILES: dict[str, Any] = {
    name: getattr(NEWS, name.split("/")[0])[Path(name).stem] for name in layout.FILES
}
NAMES = sorted(set(FILES) - {layout.PRETRAIN})  # without which nothing works
CARDS = [name for name, fields in layout.FILES.items() if fields]
TEXTS = [name for name, fields in layout.FILES.items() if not fields]
Damage = tuple[str, Any]
"""A file or folder of a corpus, and what it becomes: bytes, or the name of something else."""

NO_TEXTS = [None, 1, True, 1.5, [], ["a"], {}, {"text": "a"}, float("nan"), "half \ud800"]


def no_files(names: list[str]) -> st.SearchStrategy[Damage]:
    """Something else than a file."""
    kinds = ["missing", "folder", "pipe", "dangling", "loop", "unreadable", "endless", "huge"]
    return st.tuples(st.sampled_from(names), st.sampled_from(kinds))


@st.composite
def no_json(draw: st.DrawFn, names: list[str] = NAMES) -> Damage:
    """Bytes that are no JSON, or JSON that is no list with items."""
    name = draw(st.sampled_from(names))
    whole = as_bytes(FILES[name])
    number = draw(st.integers(0, 10**9))
    content = draw(
        st.sampled_from(
            [
                *(
                    b"",
                    b" ",
                    b"[]",
                    b"{}",
                    b"null",
                    b'"text"',
                    b"[,]",
                    b"NaN",
                    str(number).encode(),
                ),
                *(b"\xef\xbb\xbf" + whole, whole.decode().encode("utf-16"), b"[" * 100_000),
                *(whole + b"]", whole + b" " + whole, b'["caf\xe9"]', b"[1" + b"0" * 5000 + b"]"),
                *(as_bytes({"items": FILES[name]}), b"# a comment\n" + whole, b"\0" * 64),
                b"PK\x03\x04" + number.to_bytes(8, "big"),
                whole[: number % len(whole)],
                whole.replace(b",", b";", 1) if b"," in whole else b"[;",
                whole.replace(b'"', b"'"),
            ]
        )
    )
    return name, content


@st.composite
def no_items(draw: st.DrawFn) -> Damage:
    """A list in which one item is of another form."""
    name = draw(st.sampled_from(NAMES))
    items: list[Any] = json.loads(as_bytes(FILES[name]))
    place = draw(st.integers(0, len(items) - 1))
    bad = draw(st.sampled_from(NO_TEXTS))
    if name in CARDS:
        field = draw(st.sampled_from(layout.FILES[name]))
        how = draw(st.sampled_from(["item", "missing", "blank", "value", "name"]))
        if how == "item":
            items[place] = bad
        elif how == "missing":
            del items[place][field]
        elif how == "name":
            items[place][field.upper()] = items[place].pop(field)
        else:
            items[place][field] = " \u2003\n" if how == "blank" else bad
    elif name.startswith("raw/"):
        items[place] = bad
    else:
        items[place] = draw(st.sampled_from([*NO_TEXTS, "", " \t", "\u00a0"]))
    return name, as_bytes(items)


@st.composite
def spoilt(draw: st.DrawFn) -> Damage:
    """Lists of the right form that would spoil a metric: seen holdout texts, given answers."""
    kind = draw(st.sampled_from(["seen", "given away", "all blank"]))
    if kind == "all blank":
        name = draw(st.sampled_from([name for name in TEXTS if name in NAMES]))
        blanks = st.lists(st.text(" \t\n\u2003", max_size=4), min_size=1, max_size=9)
        return name, as_bytes(draw(blanks))
    if kind == "seen":
        name = draw(st.sampled_from(["raw/holdout.json", "privleak/holdout.json"]))
        seen = draw(st.sampled_from(["raw/forget.json", "raw/retain1.json", "raw/retain2.json"]))
        text = draw(st.sampled_from(FILES[seen]))
        return name, as_bytes([*FILES[name], text])
    split = draw(st.sampled_from(["forget", "retain"]))
    card = draw(st.sampled_from(FILES[f"knowmem/{split}_qa.json"]))
    name = f"knowmem/{split}_qa_icl.json"
    return name, as_bytes([*FILES[name], card])


def odd_folders() -> st.SearchStrategy[Damage]:
    """Where a folder should be."""
    names = [".", "raw", "knowmem", "verbmem", "privleak"]
    return st.one_of(
        no_files(names).filter(lambda damage: damage[1] != "folder"),
        st.tuples(st.sampled_from(names), st.just(b"a file")),
        st.tuples(st.sampled_from(["scal/forget_1.json", "sust/forget_4.json"]), st.just(b"[]")),
    )


def remove(path: Path) -> None:
    """Whatever it is; to remove a pipe as a folder would wait for ever."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def apply(folder: Path, damage: Damage) -> None:
    name, what = damage
    path = folder / name
    remove(path)
    if isinstance(what, bytes):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(what)
        return
    make: dict[str, Callable[[], object]] = {
        "missing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "dangling": lambda: path.symlink_to("nowhere"),
        "loop": lambda: path.symlink_to(path.name),
        "unreadable": lambda: path.symlink_to("/proc/self/mem"),  # root reads all other files
        "endless": lambda: path.symlink_to("/dev/zero"),
        "huge": lambda: os.truncate(_touched(path), 2**33),
    }
    make[what]()


def _touched(path: Path) -> Path:
    path.touch()
    return path


def whole_corpus(folder: Path) -> None:
    write_tree(folder, {name: as_bytes(items) for name, items in FILES.items()})


def local(folder: Path) -> dict[str, Any]:
    """The tiny experiment on a corpus of the user's own."""
    changes = {"corpus": {"source": "local"}, "muse_dir": str(folder)}
    return small_configs.tiny(changes)


CORPORA = {
    "no files": (no_files(NAMES), 40),
    "no JSON": (no_json(), 80),
    "no items": (no_items(), 80),
    "spoilt": (spoilt(), 30),
    "odd folders": (odd_folders(), 20),
}


@pytest.mark.parametrize("name", CORPORA)
def test_a_broken_corpus_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    full = config.resolve(local(tmp_path))

    def refused(damage: Damage) -> None:
        remove(tmp_path / "news")
        whole_corpus(tmp_path / "news")
        apply(tmp_path / "news", damage)
        with nothing_new(tmp_path):
            place = "scal" if damage[0].startswith("scal") else damage[0].removeprefix(".")
            named = Path(place).parts[:1] if name == "odd folders" else (place,)
            complaint(lambda: inputs.check_given(full, []), "muse_dir", *named)

    every(CORPORA[name][1], CORPORA[name][0], refused)


def test_odd_corpora_that_are_whole(tmp_path: Path) -> None:
    """Long, strange and superfluous is not wrong."""
    folder = tmp_path / "news"
    whole_corpus(folder)
    write_tree(folder, {"notes.txt": b"\xff", "raw/extra.json": b"no JSON", "scal2/x": b""})
    texts = ["a" * 5_000_000, "", "\u0000 \u2028 \U0001f600 \ufeff", "line\r\nline"]
    (folder / "raw/forget.json").unlink()
    (tmp_path / "elsewhere.json").write_bytes(as_bytes(texts))
    (folder / "raw/forget.json").symlink_to(tmp_path / "elsewhere.json")
    inputs.check_given(config.resolve(local(tmp_path)), [])
    run_script("import_corpus.py", "--source", str(folder), "--output", str(tmp_path / "made"))
    assert json.loads((tmp_path / "made/raw/forget.json").read_text(encoding="utf-8")) == texts


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_workflow_and_script_say_the_same(
    name: str, tmp_path: Path, snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Damage] = []
    every(CORPORA[name][1], CORPORA[name][0], found.append)
    monkeypatch.chdir(tmp_path)
    Path("local.yaml").write_text(yaml.safe_dump(local(Path("muse"))), encoding="utf-8")
    full = configfiles.read([Path("local.yaml")])
    for damage in found[:: len(found) // 2][:2]:
        remove(Path("muse/news"))
        whole_corpus(Path("muse/news"))
        apply(Path("muse/news"), damage)
        expected = complaint(lambda: inputs.check_given(full, []))
        done = snakemake(tmp_path, "data", "--configfile", "local.yaml")
        assert done.returncode != 0 and "Traceback" not in done.stderr
        assert f"error: {expected}" in done.stderr.splitlines()
        arguments = ("--source", "muse/news", "--output", "made")
        told = run_script("import_corpus.py", *arguments, code=2, folder=tmp_path).stderr
        alone = expected.removeprefix("config key 'muse_dir' (muse/news): ")
        assert told == f"error: {alone}\n"
        shutil.rmtree(".snakemake", ignore_errors=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["local.yaml", "muse"]
