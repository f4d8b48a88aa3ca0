"""What the configuration refuses: each in one line that names the key."""

import pytest
import yaml
from test_config import SCHEMA

from qunlearn.experiment.config import resolve
from qunlearn.run.errors import InputError

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
        "'unlearn.objectives': objective 'npo_gdx' is unknown; use one of: ga, npo,",
    ),
    "adapter": (
        "unlearn: {adapters: [qlora]}",
        "'unlearn.adapters.0': 'qlora' is unknown; use one of: full, full_bf16, lora",
    ),
    "source": ("corpus: {source: web}", "'corpus.source': 'web' is unknown; use one of: mini,"),
    "precision": ("precisions: [bf16, nf5]", "'precisions': precision 'nf5' is unknown; use bf16"),
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
    "seeds that are words": ("seeds: [one]", "'seeds.0': 'one' is not of type 'integer'"),
    "negative lr": (
        "unlearn: {settings: {lr: -0.1}}",
        "'unlearn.settings.lr': -0.1 is less than or equal to the minimum of 0",
    ),
    "lr that YAML takes for text": (
        "train: {target: {lr: 1e-5}}",
        "'train.target.lr': '1e-5' is not of type 'number' "
        "(in YAML a number such as 1e-5 is text: write 1.0e-5)",
    ),
    "word for a number of rows": (
        "evaluate: {batch_size: Auto}",
        "'evaluate.batch_size': 'Auto' is not integer ≥ 1 or `auto`",
    ),
    "no rows": (
        "evaluate: {batch_size: 0}",
        "'evaluate.batch_size': 0 is not integer ≥ 1 or `auto`",
    ),
    "text for a list": ("corpora: news", "'corpora': 'news' is not of type 'array'; see config"),
    "number for a switch": ("controls: 1", "'controls': 1 is not of type 'boolean'"),
    "key of an earlier version": (
        "keep: adapters",
        "'keep' is no more; write `keep_models: true` for all, else `keep_models: false`",
    ),
    "no switch": ("keep_models: some", "'keep_models': 'some' is not of type 'boolean'"),
    "switch for a number": ("seeds: [true]", "'seeds.0': True is not of type 'integer'"),
    "dropout of one": ("unlearn: {settings: {dropout: 1}}", "'unlearn.settings.dropout': 1 is"),
    "slash": ("experiment: a/b", "'experiment': 'a/b' is no name; use letters, digits"),
    "way up": ("experiment: ..", "'experiment': '..' is no name; use letters, digits"),
    "leading dash": ("experiment: -n", "'experiment': '-n' is no name"),
    "corpus with a way up": ("corpora: [../news]", "'corpora.0': '../news' is no name"),
    "no seeds": ("seeds: []", "'seeds': [] should be non-empty"),
    "seed twice": ("seeds: [1, 1]", "'seeds': [1, 1] has non-unique elements"),
    "empty section": ("train:", "'train': None is not of type 'object'"),
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
    with pytest.raises(InputError) as caught:
        resolve(yaml.safe_load(text), SCHEMA)
    message = str(caught.value)
    assert message.startswith("config key " + expected)
    assert "\n" not in message
