"""The rules as they are written: every part of a command is quoted, every wildcard a plain word."""

import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, Snakemake
from test_hostile_names import RULES, no_marker

FLAGS = {
    "settings": "flags(…), or quoted in place",
    "training": "finetune_flags: flags(…)",
    "more": "calibration_flags: flags(…), or words of the rule itself",
    "base": "flag_of: flags(…)",
    "retrain": "flag_of: flags(…)",
    "source": "fetch_flags, corpus_flags: flags(…)",
    "rule": "selection_flags: flags(…)",
    "script": "a word of the rule itself",
    "flags": "flags(…)",
}
"""Parameters that are several words, each quoted by the function that makes them."""
WORD = re.compile(r"[A-Za-z0-9_.,/=+-]*")


def shell_strings(text: str) -> list[str]:
    """The commands of the rules in a file: what stands below `shell:`."""
    found = re.findall(r"^( *)shell:\n((?:\1 +.*\n)+)", text, re.M)
    return [block for _, block in found]


def test_every_part_of_a_command_is_quoted() -> None:
    seen: set[str] = set()
    for file in RULES:
        for block in shell_strings(file.read_text(encoding="utf-8")):
            for part in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", block):
                if part.endswith(":q"):
                    continue
                what, _, name = part.partition(".")
                assert what in ("params", "wildcards"), f"{file.name}: {{{part}}} without :q"
                if what == "params":
                    assert name in FLAGS, f"{file.name}: {{{part}}} without :q"
                    seen.add(name)
    assert seen == set(FLAGS), "take out of FLAGS what no rule has"


def test_every_rule_was_looked_at() -> None:
    """A command that is written in another way would not be seen above."""
    for file in RULES:
        text = file.read_text(encoding="utf-8")
        assert len(shell_strings(text)) == len(re.findall(r"^ *shell\b", text, re.M)) - (
            "shell.prefix(" in text
        ), file.name
        assert not re.search(r"^ *(run|script|notebook|wrapper):", text, re.M), file.name
        assert "os.system" not in text and "shell=True" not in text, file.name
        for block in shell_strings(text):
            assert not re.search(r"""(?<![\w"'])[fF]["']""", block), "filled in twice"


def test_wildcards_stand_for_plain_words(tmp_path: Path, snakemake: Snakemake) -> None:
    """They are not quoted; so Snakemake must not take a hostile path for an output of a rule."""
    for name in ("news; touch marker", "$(touch marker)", "news'", "a b", "../news"):
        for target in (
            f"results/tiny/data/{name}",
            f"results/tiny/models/{name}/base",
            f"results/tiny/unlearned/news/npo_klr/lora/seed0{name}",
            f"results/tiny/eval/news/target/{name}/metrics.json",
            f"results/tiny/report/{name}.html",
        ):
            (tmp_path / "targets").open("a").write(f"{target}\n")
    (tmp_path / "targets").open("a").write("results/tiny/data/news\n")
    program = (
        "import sys\n"
        "from snakemake.api import SnakemakeApi, ConfigSettings, ResourceSettings, DAGSettings\n"
        "from pathlib import Path\n"
        "with SnakemakeApi() as api:\n"
        "    flow = api.workflow(resource_settings=ResourceSettings(cores=1),\n"
        "        config_settings=ConfigSettings(configfiles=[Path(sys.argv[2])]),\n"
        "        snakefile=Path(sys.argv[1]))._workflow\n"
        "    for target in Path('targets').read_text().splitlines():\n"
        "        for rule in flow.rules:\n"
        "            if rule.is_producer(target): print('TAKEN', rule.name, target)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "Snakefile"), str(ROOT / "config/tiny.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "TAKEN corpus results/tiny/data/news\n"  # the last and only one
    no_marker(tmp_path)
