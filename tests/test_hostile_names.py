"""Names that a shell, Snakemake or a program could take for more than a name.

No value of a configuration runs a command, and none leaves the results folder. Each test plants the
command `touch marker`; a marker anywhere is a failure.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake, snakemake_command
from small_corpora import whole_corpus
from small_fuzz import CHECKPOINT, complaint, write_tree
from small_workflow import over, tiny

from qunlearn.experiment import config, inputs

NAMES = [
    *("with space", "quote'; touch marker; '", 'double"; touch marker; "', "$(touch marker)"),
    *("`touch marker`", "a; touch marker #", "a & touch marker &", "a | touch marker"),
    *("a > marker", "*?[a-z]*", "{corpus}", "{CONFIG}{input}{0}", "}{", "${HOME}", "~", "~root"),
    *("#comment", "!bang!", "back\\slash", "trailing ", "naïve—文件 🙂", "%s%d", "a=b"),
]
BRACES = {"{", "}"}  # refused in paths of a configuration: Snakemake fills in what they enclose


def no_marker(*folders: Path) -> None:
    for folder in (*folders, ROOT):
        assert not (folder / "marker").exists(), folder
        assert not list(folder.glob("*/marker")), folder


def configured(folder: Path, changes: dict[str, Any]) -> str:
    """A configuration file of the tiny experiment with changes."""
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(tiny(changes), allow_unicode=True), encoding="utf-8")
    return str(file)


def test_a_hostile_folder_is_one_word_of_each_command(tmp_path: Path, snakemake: Snakemake) -> None:
    """All names in one path, for a dry run takes seconds; the shell's own parser looks too."""
    here = tmp_path / "run"
    here.mkdir()
    names = [name for name in NAMES if not BRACES & set(name)]
    given, muse = "/".join(["given", *names]), "/".join(["muse", *names])
    write_tree(here / given, CHECKPOINT)
    whole_corpus(here / muse / "news")
    local = {"corpus": {"source": "local"}, "muse_dir": muse}
    file = configured(here, {**local, "models": {"base": given, "target": given}})
    done = snakemake(here, "--configfile", file, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {
        "make_corpus.py": ("--source", f"{muse}/news"),
        "finetune.py": ("--base", given),
        "unlearn.py": ("--target", given),
    }
    seen = set()
    for command in re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, re.M):
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0, command
        words = shlex.split(command)
        assert not {"touch", "marker"} & set(words), command
        for script, (flag, value) in wanted.items():
            if script in words:
                assert words[words.index(flag) + 1] == value
                seen.add(script)
    assert seen == set(wanted)
    no_marker(here, tmp_path)


def test_a_corpus_is_imported_where_everything_has_a_hostile_name(tmp_path: Path) -> None:
    """Really, by Snakemake's shell: the folders of project, run and corpus, and the interpreter."""
    project = tmp_path / "a project; touch marker; $(touch marker)'s"
    here = tmp_path / "it's a $(touch marker) {folder}; touch marker #"
    muse = "; touch marker; $(touch marker) `touch marker` ' \" *"
    for folder in (project, here):
        folder.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "src", "resources", "envs", "profiles"):
        (project / name).symlink_to(ROOT / name)
    python = tmp_path / "py thon; touch marker"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    whole_corpus(here / muse / "news")
    local = {"corpus": {"source": "local"}, "muse_dir": muse, "python": str(python)}
    command = snakemake_command("data", "--configfile", configured(here, local))
    command[command.index("--snakefile") + 1] = str(project / "Snakefile")
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (here / "results/tiny/data/news/manifest.json").exists()
    no_marker(here, tmp_path, project)


HUB = {"source": "hub", "hub": {"news": "a/b"}}
CLOSED: dict[str, Callable[[str], dict[str, Any]]] = {
    "experiment": lambda name: {"experiment": name},
    "corpus": lambda name: {"corpora": [name]},
    "precision": lambda name: {"precisions": ["bf16", name]},
    "objective": lambda name: {"unlearn": {"objectives": [name]}},
    "adapter": lambda name: {"unlearn": {"adapters": [name]}},
    "pattern": lambda name: {"unlearn": {"overrides": {name: {"lr": 1.0}}}},
    "target of a sweep": lambda name: {"sweep": {"*": {"targets": [name]}}},
    "dataset": lambda name: {"corpus": HUB | {"hub": {"news": name}}},
    "commit": lambda name: {"corpus": HUB, "revisions": {"a/b": name}},
    "model of the hub": lambda name: {"models": {"base": f"hub:owner/{name}"}},
    "seed": lambda name: {"seeds": [name]},
}
MORE = ["../up", "..", "/absolute", "a/../../b", "-flag", "line\nend", "nul\0", "\x1b["]


@pytest.mark.parametrize("what", CLOSED)
def test_where_a_name_is_one_of_few_a_hostile_one_is_refused(what: str) -> None:
    def read(name: str) -> None:
        full = config.resolve(over({"corpora": ["news"]}, CLOSED[what](name)))
        inputs.check_given(full)

    for name in [*NAMES, *MORE]:
        if what != "pattern" or "*" not in name:  # patterns are no part of a path
            complaint(lambda: read(name))  # noqa: B023


def test_wildcards_stand_for_plain_words(tmp_path: Path) -> None:
    """They are not quoted; so Snakemake must not take a hostile path for an output of a rule."""
    hostile = [
        target.format(name)
        for name in ("news; touch marker", "$(touch marker)", "news'", "a b", "../news")
        for target in (
            *("results/tiny/data/{}", "results/tiny/models/{}/base"),
            "results/tiny/unlearned/news/npo_klr/lora/seed0{}",
            *("results/tiny/eval/news/target/{}/metrics.json", "results/tiny/report/{}.html"),
        )
    ]
    (tmp_path / "targets").write_text("\n".join([*hostile, "results/tiny/data/news"]))
    program = (
        "import sys; from pathlib import Path; from snakemake import api\n"
        "config = api.ConfigSettings(configfiles=[Path(sys.argv[2])])\n"
        "with api.SnakemakeApi() as snakemake:\n"
        "    flow = snakemake.workflow(resource_settings=api.ResourceSettings(cores=1),\n"
        "        config_settings=config, snakefile=Path(sys.argv[1]))._workflow\n"
        "    for target in Path('targets').read_text().splitlines():\n"
        "        for rule in flow.rules:\n"
        "            if rule.is_producer(target): print('TAKEN', rule.name, target)\n"
    )
    command = [sys.executable, "-c", program, ROOT / "Snakefile", ROOT / "config/tiny.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "TAKEN corpus results/tiny/data/news\n"  # the last and only one
    no_marker(tmp_path)
