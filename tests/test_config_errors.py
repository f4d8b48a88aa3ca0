"""What the configuration refuses: each in one line that names the key."""

import os
from pathlib import Path

import pytest
import yaml
from small_fuzz import complaint

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve

BAD = {
    "unknown key": ("experimnt: a", "'experimnt' is unknown; did you mean 'experiment'?"),
    "unknown nested key": (
        "unlearn: {settings: {learning_rate: 1.0}}",
        "'unlearn.settings.learning_rate' is unknown; known here: lr, epochs,",
    ),
    "near miss in a section": (
        "train: {base: {epoch: 1}}",
        "'train.base.epoch' is unknown; did you mean 'epochs'?",
    ),
    "unknown key of an override": (
        'unlearn: {overrides: {"*/*/lora": {dropuot: 0}}}',
        "'unlearn.overrides.*/*/lora.dropuot' is unknown; did you mean 'dropout'?",
    ),
    "objective": (
        "unlearn: {objectives: [npo_gdr, npo_gdx]}",
        "'unlearn.objectives.1': objective 'npo_gdx' is unknown; use one of: ga, npo,",
    ),
    "adapter": (
        "unlearn: {adapters: [qlora]}",
        "'unlearn.adapters.0': 'qlora' should be 'full', 'full_bf16' or 'lora'; see",
    ),
    "source": (
        "corpus: {source: web}",
        "'corpus.source': 'web' should be 'mini', 'local' or 'hub'; see config",
    ),
    "precision": (
        "precisions: [bf16, nf5]",
        "'precisions.1': precision 'nf5' is unknown; use bf16",
    ),
    "no bf16": ("precisions: [nf4]", "'precisions': bf16 is missing; PrivLeak and reversion are"),
    "group that does not fit": (
        "precisions: [bf16, rtn4g96]",
        "'precisions': the group of 96 of rtn4g96 does not divide models.architecture.hidden, 256",
    ),
    "seeds of a target that is given": (
        "{seed_scope: all, models: {target: folder}}",
        "'seed_scope': all trains target for each seed, but models.target is given",
    ),
    "another prompt than the counterpart's": (
        "{counterpart: paper, evaluate: {prompt: plain}}",
        "'evaluate.prompt': the numbers of the counterpart were not made with the plain prompt",
    ),
    "a base that is no base": (
        "models: {base: train}",
        "'models.base': 'train' is not for base; write 'scratch' to have it trained",
    ),
    "hub id": ("models: {target: 'hub:llama'}", "'models.target': 'llama' is not a hub id"),
    "corpus without a target": (
        "models: {target: {poems: folder}}",
        "'models.target.news' is missing; say where target of news is",
    ),
    "tokenizer beside a base from scratch": (
        "models: {tokenizer: folder}",
        "'models.tokenizer': a base from scratch trains its own; write null, or give a base",
    ),
    "seeds that are words": (
        "seeds: [one]",
        "'seeds.0': 'one' should be a valid integer; see config/README.md",
    ),
    "negative lr": (
        "unlearn: {settings: {lr: -0.1}}",
        "'unlearn.settings.lr': -0.1 should be greater than 0; see config",
    ),
    "lr that YAML takes for text": (
        "train: {target: {lr: 1e-5}}",
        "'train.target.lr': '1e-5' should be a valid number; "
        "in YAML a number such as 1e-5 is text: write 1.0e-5",
    ),
    "word for a number of rows": (
        "evaluate: {batch_size: Auto}",
        "'evaluate.batch_size': 'Auto' should be a valid integer or should be 'auto'; see",
    ),
    "no rows": (
        "evaluate: {batch_size: 0}",
        "'evaluate.batch_size': 0 should be greater than or equal to 1 or should be 'auto'",
    ),
    "text for a list": ("corpora: news", "'corpora': 'news' should be a valid list; see config"),
    "number for a switch": ("controls: 1", "'controls': 1 should be a valid boolean"),
    "key of an earlier version": (
        "keep: adapters",
        "'keep' was replaced; write `keep_models: true` for all, else `keep_models: false`",
    ),
    "no switch": ("keep_models: some", "'keep_models': 'some' should be a valid boolean"),
    "switch for a number": ("seeds: [true]", "'seeds.0': True should be a valid integer"),
    "dropout of one": (
        "unlearn: {settings: {dropout: 1}}",
        "'unlearn.settings.dropout': 1 should be less than 1; see config",
    ),
    "slash": (
        "experiment: a/b",
        "'experiment': 'a/b' is not a name; use at most 100 letters, digits",
    ),
    "way up": ("experiment: ..", "'experiment': '..' is not a name; use"),
    "leading dash": ("experiment: -n", "'experiment': '-n' is not a name"),
    "corpus with a way up": ("corpora: [../news]", "'corpora.0': '../news' is not a name"),
    "no seeds": ("seeds: []", "'seeds': [] should have at least 1 item; see config"),
    "seed twice": ("seeds: [1, 1]", "'seeds': 1 is there twice; drop one"),
    "empty section": ("train:", "'train': None should be a section of keys; see config"),
    "number with a point for an integer": (
        "train: {base: {epochs: 1, batch_size: 2.0}}",
        "'train.base.batch_size': 2.0 should be a valid integer",
    ),
    "infinite number": (
        "unlearn: {settings: {clip: .inf}}",
        "'unlearn.settings.clip': inf should be a finite number",
    ),
    "date": ("seeds: 2026-01-01", "'seeds': datetime.date(2026, 1, 1) should be a valid list"),
    "seed that no generator takes": ("seeds: [2147483648]", "'seeds.0': 2147483648 should be less"),
    "number of 5000 digits": (
        f"seeds: [0x{'f' * 5000}]",
        "'seeds.0': a number of more than 40 dig",
    ),
    "list that has itself": ("seeds: &a [*a]", "'seeds.0': [[[[...]]]] should be a valid integer"),
    "switch for text": ("experiment: yes", "'experiment': True should be a valid string"),
    "long name": (f"experiment: {'x' * 101}", "'experiment': 'xxx"),
    "key that is a number": ("1: 2", "'1' is not text; put it in quotes"),
    "pattern that is a number": ("sweep: {1: {}}", "'sweep.1' is not text; put it in quotes"),
    "value of a sweep": ('sweep: {"*": {lr: [0]}}', "'sweep.*.lr.0': 0 should be greater than 0"),
    "control character": (
        'models: {base: "a\\nb"}',
        "'models.base': 'a\\nb' has '\\n', which no name can have; drop it",
    ),
    "half a character": ('muse_dir: "\\ud800"', "'muse_dir': '\\ud800' has '\\ud800', which no"),
    "source that is a number": (
        "models: {base: 5}",
        "'models.base': 5 should be a valid string or should be a section of keys",
    ),
    "source of a corpus that is a number": (
        "models: {base: {poems: 1}}",
        "'models.base.poems': 1 should be a valid string; see config/README.md",
    ),
    "path like a flag": ("muse_dir: -rf", "'muse_dir': '-rf' looks like a flag of a program"),
    "variant without its origin": (
        "{controls: true, unlearn: {adapters: [lora]}}",
        "'controls': they are made from full, full_bf16, lora; add full to unlearn.adapters",
    ),
    "heads": (
        "models: {architecture: {heads: 3}}",
        "'models.architecture.heads': 3 heads do not make equal and even widths of hidden, 256",
    ),
    "part of a whole corpus": (
        "corpus: {excerpt: {characters: 9}}",
        "'corpus.excerpt.characters': a corpus that is kept whole is not cut",
    ),
    "sweep of what is not LoRA": (
        'sweep: {"*": {rank: [4]}}',
        "'sweep': rank is a setting of LoRA but is swept in news/npo_gdr/full",
    ),
    "override without a run": (
        'unlearn: {overrides: {"*/npo_gdr/lorra": {lr: 1.0}}}',
        "'unlearn.overrides': '*/npo_gdr/lorra' can match no run; runs are named like news/",
    ),
    "local without its folder": (
        "corpus: {source: local}",
        "'muse_dir' is not set; name the folder: --config muse_dir=",
    ),
    "checkpoints of training": (
        "train: {target: {log_every: 7}}",
        "'train.target.checkpoint_every': 100 must be a multiple of log_every, 7",
    ),
    "checkpoints of the base": (
        "train: {base: {checkpoint_every: 15}}",
        "'train.base.checkpoint_every': 15 must be a multiple of log_every, 10",
    ),
    "checkpoints of unlearning": (
        "unlearn: {settings: {checkpoint_every: 5}}",
        "'unlearn.settings.checkpoint_every': 5 must be a multiple of log_every, 10",
    ),
    "checkpoints of one run": (
        'unlearn: {overrides: {"books/*/lora": {log_every: 3}}}',
        "'unlearn.settings.checkpoint_every': 100 must be a multiple of log_every, 3 "
        "in the run books/npo_gdr/lora",
    ),
    "micro-batches": (
        "unlearn: {settings: {micro_batch_size: 5}}",
        "'unlearn.settings.micro_batch_size': 5 must be 0 or divide batch_size, 16",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_is_refused_in_one_line(name: str) -> None:
    text, expected = BAD[name]
    complaint(lambda: resolve(yaml.safe_load(text)), "config key " + expected)


FILES = {
    "open bracket": (b"seeds: [1\nb: 2\n", "not valid YAML at line 2 ("),
    "list": (b"- 1\n", "has no keys; write a configuration"),
    "nothing": (b"", "has no keys"),
    "word for a switch": (b"seeds: no\n", "config key 'seeds': False should be a valid list"),
    "Latin-1": (b"experiment: \xff", "not UTF-8"),
    "too many brackets": (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deep"),
    "key twice": (b"experiment: a\nexperiment: b", "the key 'experiment' stands twice"),
    "key twice in JSON": (b'{"seeds": [0], "seeds": [1]}', "the key 'seeds' stands twice"),
    "list for a key": (b"? [a]\n: 1", "not valid YAML at line 1"),
    "number too long for Python": (b'{"seeds": [1%s]}' % (b"0" * 5000), "not valid YAML"),
    "template": (b"__use_yte__: true", "'__use_yte__' makes a file a template; drop it"),
    "code": (b"experiment: !!python/object/apply:os.getcwd []", "not valid YAML at line 1"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    (tmp_path / "bad.yaml").write_bytes(content)
    complaint(lambda: configfiles.read([tmp_path / "bad.yaml"]), expected)


ODD = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a loop of links": lambda path: path.symlink_to(path.name),
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_not_a_configuration_file_is_refused(what: str, tmp_path: Path) -> None:
    ODD[what](tmp_path / "it.yaml")
    complaint(lambda: configfiles.read([tmp_path / "it.yaml"]), "it.yaml")
