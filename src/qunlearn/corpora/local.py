"""A corpus that the user already has on disk, in MUSE's layout."""

from pathlib import Path

from qunlearn.corpora import layout
from qunlearn.corpora.layout import Corpus
from qunlearn.errors import InputError
from qunlearn.integrity import verify as verify_files

MEANT = "put it back as it was, or delete {folder}/manifest.json if the change is meant"


def verify(folder: Path, *, pretrain: bool = False) -> Corpus:
    """Read a user's corpus and check what would quietly spoil its metrics.

    On top of the form of each item: a text of `holdout` that is also trained on would pull
    PrivLeak to 0, and an in-context example that is also asked would give its answer away.
    Texts are compared whole; overlapping passages are not looked for. A folder that the workflow
    made for another experiment has hashes, which are compared too.

    Args:
        folder: the corpus.
        pretrain: whether `raw/pretrain.json` must be there.

    Raises:
        InputError: names the file and the item.
    """
    corpus = layout.verify(folder, pretrain=pretrain)
    verify_files(folder, mend=MEANT)
    trained = {
        text: f"raw/{split}.json"
        for split in ("pretrain", "retain2", "retain1", "forget")
        for text in corpus.raw[split]
    }
    trained |= {text: "privleak/forget.json" for text in corpus.privleak["forget"]}
    for part in ("raw", "privleak"):
        for index, text in enumerate(getattr(corpus, part)["holdout"]):
            if text.strip() and text in trained:
                raise InputError(
                    f"{folder / part / 'holdout.json'}: item {index} is also in {trained[text]}; "
                    "holdout texts must be unseen, so drop it from one of them"
                )
    for split in ("forget", "retain"):
        asked = {card["question"] for card in corpus.knowmem[f"{split}_qa"]}
        for index, card in enumerate(corpus.knowmem[f"{split}_qa_icl"]):
            if card["question"] in asked:
                raise InputError(
                    f"{folder / 'knowmem' / f'{split}_qa_icl.json'}: item {index} is also a "
                    f"question of {split}_qa.json; use another example"
                )
    return corpus
