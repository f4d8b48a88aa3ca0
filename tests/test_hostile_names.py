"""Names that a shell, Snakemake or a program could take for more than a name.

No value of a configuration runs a command, and none leaves the results folder. Each test plants the
command `touch marker`; a marker anywhere is a failure.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake, snakemake_command
from small_configs import over, tiny
from small_corpora import run_script, whole_corpus
from small_fuzz import CHECKPOINT, write_tree

from qunlearn.experiment import config, inputs
from qunlearn.run.errors import InputError

NAMES = [
    "with space",
    "quote'; touch marker; '",
    'double"; touch marker; "',
    "$(touch marker)",
    "`touch marker`",
    "a; touch marker #",
    "a & touch marker &",
    "a | touch marker",
    "a > marker",
    "*?[a-z]*",
    "{corpus}",
    "{CONFIG}{input}{0}",
    "}{",
    "${HOME}",
    "~",
    "~root",
    "#comment",
    "!bang!",
    "back\\slash",
    "trailing ",
    "naïve—文件 🙂",
    "%s%d",
    "a=b",
]
BRACES = {"{", "}"}  # refused in paths of a configuration: Snakemake fills in what they enclose
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def no_marker(*folders: Path) -> None:
    for folder in (*folders, ROOT):
        assert not (folder / "marker").exists(), folder
        assert not list(folder.glob("*/marker")), folder


def configured(folder: Path, changes: dict[str, Any]) -> str:
    """A configuration file of the tiny experiment with changes."""
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(tiny(changes), allow_unicode=True), encoding="utf-8")
    return str(file)


def commands(printed: str) -> list[str]:
    """The shell commands of a dry run with --printshellcmds."""
    found = re.findall(r"^Shell command: (.*)$", printed, re.M)
    assert found, printed
    return found


def planned(folder: Path, snakemake: Snakemake, changes: dict[str, Any], *more: str) -> list[str]:
    done = snakemake(
        folder, "--configfile", configured(folder, changes), "--dry-run", "--printshellcmds", *more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return commands(done.stdout + done.stderr)


def words_after(flag: str, command: str) -> str:
    """The value of a flag, as a shell would hand it over."""
    words = shlex.split(command)
    return words[words.index(flag) + 1]


def test_a_folder_of_many_hostile_names_is_one_word_of_each_command(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    """All names in one path, for a dry run takes seconds; the shell's own parser looks too."""
    here = tmp_path / "run"
    here.mkdir()
    names = [name for name in NAMES if not BRACES & set(name)]
    given, muse = "/".join(["given", *names]), "/".join(["muse", *names])
    write_tree(here / given, CHECKPOINT)
    whole_corpus(here / muse / "news")
    changes = {
        "corpus": {"source": "local"},
        "muse_dir": muse,
        "models": {"base": given, "target": given},
    }
    found = planned(here, snakemake, changes)
    for command in found:
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0, command
        words = shlex.split(command)
        assert not {"touch", "marker"} & set(words), command
    imports = [command for command in found if "import_corpus.py" in command]
    assert [words_after("--source", command) for command in imports] == [f"{muse}/news"]
    tunings = [command for command in found if "finetune.py" in command]
    assert {words_after("--base", command) for command in tunings} == {given}
    targets = [command for command in found if "unlearn.py" in command]
    assert {words_after("--target", command) for command in targets} == {given}
    no_marker(here, tmp_path)


def test_a_corpus_is_imported_from_a_folder_with_a_hostile_name(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    """Really: by Snakemake's shell, from a project folder with a hostile name as well."""
    here = tmp_path / "it's a $(touch marker) {folder}; touch marker #"
    muse = "; touch marker; $(touch marker) `touch marker` ' \" *"
    here.mkdir()
    whole_corpus(here / muse / "news")
    file = configured(here, {"corpus": {"source": "local"}, "muse_dir": muse})
    done = snakemake(here, "data", "--configfile", file)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (here / "results/tiny/data/news/manifest.json").exists()
    no_marker(here, tmp_path)


@pytest.mark.slow
def test_a_project_folder_and_an_interpreter_with_hostile_names(tmp_path: Path) -> None:
    """They stand in the prefix of every command."""
    project = tmp_path / "a project; touch marker; $(touch marker)'s"
    project.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "src", "resources", "envs", "profiles"):
        (project / name).symlink_to(ROOT / name)
    python = tmp_path / "py thon; touch marker"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    command = snakemake_command("data", "--configfile", configured(here, {"python": str(python)}))
    command[command.index("--snakefile") + 1] = str(project / "Snakefile")
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (here / "results/tiny/data/news/manifest.json").exists()
    no_marker(here, tmp_path, project)


@pytest.mark.parametrize("kind", ["spaces and commands", "one after the other"])
def test_scripts_take_a_hostile_name_for_a_path(kind: str, tmp_path: Path) -> None:
    name = (
        "; touch marker; {input} $(touch marker)" if kind.startswith("spaces") else "/".join(NAMES)
    )
    folder, made = tmp_path / name, tmp_path / "made" / name
    whole_corpus(folder)
    run_script("import_corpus.py", "--source", str(folder), "--output", str(made), folder=tmp_path)
    assert (made / "manifest.json").exists()
    no_marker(tmp_path)


CLOSED = {
    "experiment": lambda name: {"experiment": name},
    "a corpus": lambda name: {"corpora": [name]},
    "a precision": lambda name: {"precisions": ["bf16", name]},
    "a precision of the controls": lambda name: {"control_settings": {"precisions": [name]}},
    "an objective": lambda name: {"unlearn": {"objectives": [name]}},
    "an adapter": lambda name: {"unlearn": {"adapters": [name]}},
    "a pattern": lambda name: {"unlearn": {"overrides": {name: {"lr": 1.0}}}},
    "a sweep": lambda name: {"sweep": {name: {"lr": [1.0]}}},
    "a target of a sweep": lambda name: {"sweep": {"*": {"targets": [name]}}},
    "a dataset": lambda name: {"corpus": {"source": "hub", "hub": {"news": name}}},
    "a commit": lambda name: {
        "corpus": {"source": "hub", "hub": {"news": "a/b"}},
        "revisions": {"a/b": name},
    },
    "a model of the hub": lambda name: {"models": {"target": f"hub:{name}", "retrain": "x"}},
    "a model of the hub's owner": lambda name: {"models": {"base": f"hub:owner/{name}"}},
    "a seed": lambda name: {"seeds": [name]},
    "a number": lambda name: {"unlearn": {"settings": {"lr": name}}},
    "what stays": lambda name: {"selection": {"rule": name}},
    "a batch": lambda name: {"evaluate": {"batch_size": name}},
    "a chosen candidate": lambda name: {
        "sweep": {"*/*/lora": {"lr": [1.0]}},
        "selection": {"rule": "fixed", "fixed": {"*/*/lora": name}},
    },
}
MORE = [
    "../up",
    "..",
    "/absolute",
    "a/../../b",
    "-flag",
    "--output=x",
    "line\nend",
    "nul\0",
    "\x1b[2J",
]


@pytest.mark.parametrize("what", CLOSED)
def test_where_a_name_is_one_of_few_a_hostile_one_is_refused(what: str) -> None:
    for name in [*NAMES, *MORE]:
        if (what == "a pattern" and "*" in name) or (what == "a sweep" and "*" in name):
            continue  # patterns are compared, and never a part of a path
        with pytest.raises(InputError) as caught:
            full = config.resolve(over({"corpora": ["news"]}, CLOSED[what](name)))
            inputs.check_given(full)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["muse_dir", "base", "target", "tokenizer", "python"])
@pytest.mark.parametrize(
    "name", ["-rf", "a{b", "{input}", "line\nend", "nul\0byte", "\x1b[2J", "\x7f"]
)
def test_paths_that_would_be_flags_or_lines_are_refused(key: str, name: str) -> None:
    changes = (
        {"corpus": {"source": "local"}, "muse_dir": name}
        if key == "muse_dir"
        else {"python": name}
        if key == "python"
        else {"models": {"base": "x", key: name}}
    )
    with pytest.raises(InputError, match=key):
        config.resolve(changes)
