"""The text that a base from scratch needs: where it is missing is known before any training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import small_configs
from books_like import books
from muse_on_hub import corpus
from small_corpora import run_script

from qunlearn.corpora import layout
from qunlearn.experiment import config
from qunlearn.experiment.inputs import check_given
from qunlearn.models import sources
from qunlearn.run.errors import InputError

WITHOUT = "there is no raw/pretrain.json, on which models.base: scratch is trained; add the file,"
DATASET = "muse-bench/MUSE-News"


def full(changes: Mapping[str, Any]) -> dict[str, Any]:
    return config.resolve(small_configs.tiny(changes))


@pytest.fixture
def muse(tmp_path: Path) -> dict[str, Any]:
    """A configuration with a corpus in MUSE's own layout, which has no such text."""
    layout.write(tmp_path / "news", corpus())
    return {"muse_dir": str(tmp_path), "corpus": {"source": "local"}}


def test_a_local_corpus(muse: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_given(full(muse), [])
    assert f"config key 'muse_dir' ({tmp_path}/news): " in str(caught.value)
    assert f"{tmp_path}/news: {WITHOUT} set " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_dataset_of_the_hub() -> None:
    hub = {"source": "hub", "hub": {"news": DATASET}}
    changes = {"corpus": hub, "revisions": {DATASET: "0" * 40}}
    with pytest.raises(InputError, match=f"dataset {DATASET}: {WITHOUT}"):
        check_given(full(changes), [])
    check_given(full({**changes, "corpus": {**hub, "excerpt": {"texts": 3}}}), [])


def test_an_excerpt_or_a_base_is_a_way_out(muse: dict[str, Any]) -> None:
    check_given(full({**muse, "corpus": {"source": "local", "excerpt": {"texts": 3}}}), [])
    assert sources.from_scratch(full(muse), "news")
    given = {**muse, "models": {"base": "hub:some/base"}}
    assert not sources.from_scratch(full(given), "news")
    given = {**muse, "models": {"target": "hub:some/target", "retrain": "hub:some/retrain"}}
    assert not sources.from_scratch(full(given), "news")


def test_an_excerpt_that_leaves_nothing(tmp_path: Path) -> None:
    """Uncut documents of retain1 that all lie inside retain2."""
    layout.write(tmp_path / "books", books())
    arguments = ("--source", str(tmp_path / "books"), "--output", str(tmp_path / "made"))
    flags = ("--texts", "3", "--scratch", "True")
    told = run_script("import_corpus.py", *arguments, *flags, code=2).stderr.splitlines()
    assert len(told) == 1 and "set corpus.excerpt.characters" in told[0]
    assert told[0].startswith(f"error: {tmp_path}/books: the excerpt leaves no text for raw/pretr")
    run_script("import_corpus.py", *arguments, *flags, "--characters", "600")
    assert (tmp_path / "made/raw/pretrain.json").exists()
