"""What the configuration refuses: each in one line that names the key."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_fuzz import complaint

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve

BAD = {
    # Keys
    "experimnt: a": "'experimnt' is unknown; did you mean 'experiment'?",
    "train: {base: {epoch: 1}}": "'train.base.epoch' is unknown; did you mean 'epochs'?",
    "unlearn: {settings: {learning_rate: 1.0}}": "'unlearn.settings.learning_rate' is unknown; see",
    'unlearn: {overrides: {"*": {dropuot: 0}}}': "'unlearn.overrides.*.dropuot' is unknown; did",
    'sweep: {"*/*/lora": {ranks: [1]}}': "'sweep.*/*/lora.ranks' is unknown; did you mean 'rank'?",
    "1: 2": "'1' is not text; put it in quotes",
    "sweep: {1: {}}": "'sweep.1' is not text; put it in quotes",
    "train:": "'train': None should be a section of keys; see config/README.md",
    # Values
    "unlearn: {objectives: [npo_gdr, npo_gdx]}": "'unlearn.objectives.1': objective 'npo_gdx' is",
    "unlearn: {adapters: [qlora]}": "'unlearn.adapters.0': 'qlora' should be 'full', 'full_bf16' o",
    "precisions: [bf16, nf5]": "'precisions.1': precision 'nf5' is unknown; use ",
    "seeds: []": "'seeds': [] should have at least 1 item",
    "seeds: [1, 1]": "'seeds': 1 appears twice; drop one",
    f"seeds: [0x{'f' * 5000}]": "'seeds.0': a number of more than 40 digits should be",
    "unlearn: {settings: {lr: -0.1}}": "'unlearn.settings.lr': -0.1 should be greater than 0",
    "unlearn: {settings: {clip: .inf}}": "'unlearn.settings.clip': inf should be a finite number",
    "train: {target: {lr: 1e-5}}": "'train.target.lr': '1e-5' should be a valid number; in YAML a",
    "evaluate: {batch_size: Auto}": "'evaluate.batch_size': 'Auto' should be a valid integer or sh",
    'sweep: {"*/*/lora": {rank: [4, 4]}}': "'sweep.*/*/lora.rank': 4 appears twice",
    "models: {base: 5}": "'models.base': 5 should be a valid string or should be a section of keys",
    # Names and paths
    "experiment: a/b": "'experiment': 'a/b' should match pattern",
    'muse_dir: "\\ud800"': "'muse_dir': '\\ud800' should be a valid string",
    "muse_dir: -rf": "'muse_dir': '-rf' looks like a flag of a program",
    "models: {target: 'hub:llama'}": "'models.target': 'llama' is not a hub id",
    # Contradictions
    "precisions: [nf4]": "'precisions': bf16 is missing; PrivLeak and reversion are",
    "{seed_scope: all, models: {target: folder}}": "'seed_scope': all trains target and retrain",
    "{counterpart: paper, evaluate: {prompt: plain}}": "'evaluate.prompt': the counterpart's is",
    "corpus: {source: local}": "'muse_dir' is not set; name the folder: --config muse_dir=",
    "corpus: {excerpt: {characters: 9}}": "'corpus.excerpt.characters': a whole corpus",
    "models: {architecture: {heads: 3}}": "'models.architecture.heads': hidden must be a multiple",
    "models: {base: train}": "'models.base': 'train' is not for base; write 'scratch'",
    "models: {target: {poems: folder}}": "'models.target.news' is missing; say where target of",
    "models: {tokenizer: folder}": "'models.tokenizer': a base from scratch trains its own",
    "{controls: true, unlearn: {adapters: [lora]}}": "'controls': they are made from full too",
    "{controls: true, precisions: [bf16, nf4]}": "'controls': weights are spared on a plain grid",
    'unlearn: {overrides: {"books/*/lora": {log_every: 3}}}': (
        "'unlearn.settings.checkpoint_every': checkpoint_every, 100, must be a multiple of "
        "log_every, 3 in the run books/npo_gdr/lora"
    ),
    "unlearn: {settings: {micro_batch_size: 5}}": "'unlearn.settings.micro_batch_size': batch",
    # Patterns and grids
    'unlearn: {overrides: {"*/npo_gdr/lorra": {lr: 1.0}}}': "'unlearn.overrides.*/npo_gdr/lorra': ",
    '{selection: {fixed: {"*/*/lroa": r8/epoch10}}}': "'selection.fixed.*/*/lroa': can match no",
    'sweep: {"*": {rank: [4]}}': "'sweep': rank is a setting of LoRA, not of news/npo_gdr",
    'sweep: {"*/*/lora": {alpha: [1.0000001, 1.0000002]}}': "'sweep': two points of news/npo_gdr/l",
    '{sweep: {"*/*/lora": {rank: [4]}}, selection: {rule: fixed}}': (
        "'selection.fixed': news/npo_gdr/lora needs one of its candidates, such as r4/epoch5, not n"
    ),
    '{sweep: {"*/*/lora": {rank: [8]}}, selection: {rule: fixed, fixed: {"*": r8/epoch6}}}': (
        "'selection.fixed': news/npo_gdr/lora needs one of its candidates, such as r8/epoch5, not r"
    ),
    '{controls: true, sweep: {"*/*/full": {lr: [1.0e-4]}}}': "'controls': full_matched needs",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_configuration_is_refused_in_one_line(text: str) -> None:
    line = complaint(lambda: resolve(yaml.safe_load(text)))
    assert line.startswith("config key " + BAD[text])


FILES: dict[str, tuple[bytes, str]] = {
    "open bracket": (b"seeds: [1\nb: 2\n", "not valid YAML at line 2 ("),
    "list": (b"- 1\n", "has no keys; write a configuration"),
    "nothing": (b"", "has no keys"),
    "word for a switch": (b"seeds: no\n", "config key 'seeds': False should be a valid list"),
    "Latin-1": (b"experiment: \xff", "not UTF-8"),
    "too many brackets": (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deep"),
    "key twice": (b"experiment: a\nexperiment: b", "the key 'experiment' appears twice"),
    "key twice in JSON": (b'{"seeds": [0], "seeds": [1]}', "the key 'seeds' appears twice"),
    "list for a key": (b"? [a]\n: 1", "not valid YAML at line 1"),
    "template": (b"__use_yte__: true", "'__use_yte__' makes a file a template; drop it"),
    "code": (b"experiment: !!python/object/apply:os.getcwd []", "not valid YAML at line 1"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    (tmp_path / "bad.yaml").write_bytes(content)
    complaint(lambda: configfiles.read([tmp_path / "bad.yaml"]), expected)


@pytest.mark.parametrize(
    "words",
    [
        ["--configfile", "a.yaml", "--configfile", "b.yaml"],
        ["--configfile=a.yaml", "--configfiles", "b.yaml"],
        ["--config", "seeds=[0]", "-C", "experiment=x"],
    ],
)
def test_a_flag_given_twice_is_refused(words: list[str]) -> None:
    complaint(lambda: configfiles.check_flags(["snakemake", *words]), "given twice", "after one")
    configfiles.check_flags(["snakemake", "--configfile", "a", "b", "--config", "x=1", "y=2"])


# --- At every key ----------------------------------------------------------------------------


def leaves(value: Any, place: str = "") -> Iterator[str]:
    """The place of every value that is not a section (an empty one counts as a value)."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{place}.{key}".lstrip("."))
    else:
        yield place


def at(place: list[str] | tuple[str, ...], value: Any) -> Any:
    """A configuration that has `value` at `place` and says nothing else."""
    for key in reversed(place):
        value = {key: value}
    return value


KEYS = [place.split(".") for place in leaves(resolve({}))]
SECTIONS = sorted({tuple(place[:depth]) for place in KEYS for depth in range(len(place))})
FREE = [["revisions"], ["corpus", "hub"], ["unlearn", "overrides"], ["sweep"]]
NEVER = [
    *(float("nan"), float("inf"), -1, -(10**12), 10**400, "a\nb", "\x1b", [[]], [None], [-1]),
    *(datetime.date(2026, 1, 1), b"bytes", {"a", "b"}, {1: 2}, {"a": {"b": []}}, [{"a": [1]}]),
]


def test_what_no_key_can_have_is_refused_at_every_key() -> None:
    for place in KEYS:
        for value in NEVER:
            complaint(lambda: resolve(at(place, value)), f"'{'.'.join(place)}")  # noqa: B023


def test_an_unknown_key_is_refused_in_every_section() -> None:
    for section in SECTIONS:
        complaint(lambda: resolve(at((*section, "sedd"), None)), "sedd' is unknown")  # noqa: B023
    for key in ("é", "\x1b[2J", "x" * 3000, "", 1, 2.5, None, True, datetime.date(2026, 1, 1)):
        for place in ([], *FREE):
            complaint(lambda: resolve(at((*place, key), 5)), "config key")  # noqa: B023
