"""A corpus that the user already has on disk, in MUSE's layout."""

from pathlib import Path

from qunlearn.corpora import layout, overlaps
from qunlearn.corpora.layout import Corpus
from qunlearn.run.manifest import verify as verify_files


def verify(folder: Path, *, pretrain: bool = False) -> Corpus:
    """Read a user's corpus and check what would quietly spoil its metrics.

    On top of the form of each item: a text of `holdout` that is also trained on would pull
    PrivLeak to 0, retrain would know forget texts that are also retained, and in-context examples
    that are also asked would give their answers away (`overlaps.RULES`). A folder that the
    workflow made for another experiment has hashes, which are compared too.

    Args:
        folder: the corpus.
        pretrain: whether `raw/pretrain.json` must be there.

    Raises:
        InputError: names the file and the item.
    """
    corpus = layout.verify(folder, pretrain=pretrain)
    verify_files(folder)
    overlaps.check(folder, corpus)
    return corpus
