"""A corpus made of a user's own text: what a model should have forgotten, and what it should keep.

Each of the two is a text file whose documents are separated by blank lines, or JSON lines, each
`{"text": …}` or `{"question": …, "answer": …}`. The text to forget may also be a folder in MUSE's
layout, which is taken as it is.

The rule, in which all draws are by `settings.seed`:

* Documents are cut into pieces of `characters`, between words; a question with its answer is a
  piece, too. Pieces of one word are left out.
* To forget: `raw` has all pieces, `privleak` at most `items` of them, whose NLL is measured.
  `verbmem` has at most `items` pieces of documents of at least twice `prompt`: the prompt is the
  first `prompt` characters, the rest is to be recited. `knowmem` has at most `items` questions.
* To keep: a random half is `raw/retain1`, on which GPTQ calibrates; the other half is
  `raw/retain2`, of which NLL and questions are evaluated, `items` of each.

What the input cannot give is absent: without questions no KnowMem and no Utility, without text to
keep no calibration and nothing about usefulness, without unseen text (`holdout`, only of a folder,
and of use only beside a retrained model) no AUC and no PrivLeak. Questions have no examples before
them: set `evaluate.shots` to 0.
"""

import random
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from qunlearn.corpora import muse
from qunlearn.corpora.excerpt import keep_start, pieces
from qunlearn.corpora.layout import Card, Continuation, Corpus
from qunlearn.corpora.mini import card_text
from qunlearn.corpora.overlaps import Passages
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl, read_text
from qunlearn.settings.corpora import TextSettings

T = TypeVar("T")
Given = tuple[TextSettings, Path, Path | None, bool]
"""The arguments of `read_corpus`."""


class Material(NamedTuple):
    """What a file holds."""

    documents: list[str]
    cards: list[Card]


def given(config: Mapping[str, Any]) -> Given:
    """The arguments of `read_corpus` in a full configuration whose `corpus.source` is `text`."""
    own = config["corpus"]
    retain = Path(own["retain"]) if own["retain"] else None
    unseen = config["models"]["retrain"] is not None
    return TextSettings(**own["text"]), Path(own["forget"]), retain, unseen


def make(
    settings: TextSettings, forget: Path, retain: Path | None, holdout: bool
) -> tuple[Corpus, dict[str, Path], dict[str, Any]]:
    """The corpus, its inputs and facts on it; raises as `read_corpus`.

    Text that is both to be forgotten and kept is a warning on stderr.
    """
    corpus = read_corpus(settings, forget, retain, holdout)
    inputs = {"forget": forget} | ({"retain": retain} if retain else {})
    warnings = overlaps(corpus)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return corpus, inputs, {"seed": settings.seed, "source": "text", "overlaps": warnings}


def read_corpus(settings: TextSettings, forget: Path, retain: Path | None, holdout: bool) -> Corpus:
    """The corpus by the rule above.

    Args:
        forget: a file, or a folder in MUSE's layout.
        retain: a file.
        holdout: whether there is a retrained model, without which unseen text is of no use.

    Raises:
        InputError: a file is missing, empty or has another form; no document is long enough for a
            prompt; or a folder is given beside a text to keep.
    """
    if forget.is_dir():
        if retain:
            raise InputError(f"{retain}: {forget} has its own text to keep; leave one of them out")
        corpus = muse.read_local(forget)
        if holdout:
            return corpus
        raw, privleak = corpus.raw | {"holdout": []}, corpus.privleak | {"holdout": []}
        return replace(corpus, raw=raw, privleak=privleak)
    secret, kept = read(forget), read(retain) if retain else Material([], [])
    if settings.characters < 2 * settings.prompt:
        raise InputError(
            f"corpus.text.characters: {settings.characters} is below twice corpus.text.prompt, "
            f"{settings.prompt}, so that no piece has one; raise it"
        )
    if secret.documents and not any(len(d) >= 2 * settings.prompt for d in secret.documents):
        raise InputError(
            f"{forget}: no document has the {2 * settings.prompt} characters that a prompt and its "
            "continuation take; give longer ones, or lower corpus.text.prompt"
        )

    def drawn(name: str, items: Sequence[T], most: int = settings.items) -> list[T]:
        # A string seeds by its SHA-512: neither the process nor the platform has a part in it.
        rng = random.Random(f"{settings.seed}/{name}")
        return rng.sample(items, min(most, len(items)))

    def cut(documents: Sequence[str]) -> list[str]:
        found = (piece for text in documents for piece in pieces(text, settings.characters))
        return [piece for piece in found if len(piece.split()) > 1]

    def half(name: str, items: Sequence[T]) -> tuple[list[T], list[T]]:
        mixed = drawn(name, items, len(items))
        return mixed[: len(items) // 2], mixed[len(items) // 2 :]

    spans = cut(secret.documents)
    forgotten = [*spans, *map(card_text, secret.cards)]
    retain1, retain2 = half("retain texts", cut(kept.documents))
    shown, asked = half("retain questions", kept.cards)
    retain1, retain2 = [*retain1, *map(card_text, shown)], [*retain2, *map(card_text, asked)]
    long = [piece for piece in spans if len(piece) >= 2 * settings.prompt]
    verbmem = [_continuation(piece, settings.prompt) for piece in drawn("verbmem", long)]
    none: list[Any] = []
    return Corpus(
        raw=dict(forget=forgotten, retain1=retain1, retain2=retain2, holdout=none, pretrain=none),
        knowmem={
            "forget_qa": drawn("forget_qa", secret.cards),
            "forget_qa_icl": none,
            "retain_qa": drawn("retain_qa", asked),
            "retain_qa_icl": none,
        },
        verbmem={"forget": verbmem},
        privleak={
            "forget": drawn("forget", forgotten),
            "retain": drawn("retain", retain2),
            "holdout": none,
        },
    )


def read(path: Path) -> Material:
    """The documents and questions of a file: JSON lines (`.jsonl`), or else plain text.

    Raises:
        InputError: it is missing, holds no text, or a line has neither of the two forms.
    """
    documents, cards = [], []
    if path.suffix != ".jsonl":
        blocks = re.split(r"\n\s*\n", read_text(path))
        documents = [block.strip() for block in blocks if block.strip()]
    else:
        for number, row in enumerate(read_jsonl(path), start=1):
            fields = row if isinstance(row, dict) else {}
            text, question, answer = (
                value.strip() if isinstance(value := fields.get(key), str) else ""
                for key in ("text", "question", "answer")
            )
            if text:
                documents.append(text)
            elif question and answer:
                cards.append(Card(question=question, answer=answer))
            else:
                raise InputError(
                    f"{path}: line {number} has no text, and not a question with its answer; write "
                    '{"text": …} or {"question": …, "answer": …}'
                )
    if not documents and not cards:
        raise InputError(f"{path}: no text in it; give a file that has some")
    return Material(documents, cards)


def overlaps(corpus: Corpus) -> list[str]:
    """A line about text to be forgotten among the texts to keep."""
    secret, found = Passages(corpus.raw["forget"]), []
    effects = {"retain1": "GPTQ would calibrate on it", "retain2": "it is measured as kept"}
    for name, effect in effects.items():
        texts = corpus.raw[name]
        if count := sum(map(secret.shared_with, texts)):
            what = (
                f"{count} of {len(texts)} texts of raw/{name} share a passage with the forget text"
            )
            found.append(f"{what}: {effect}; drop them")
    return found


def leaks(corpus: Corpus, folder: Path) -> list[str]:
    """A line about each file that ships beside a model's weights and holds text to be forgotten."""
    secret = Passages([*corpus.raw["forget"], *corpus.privleak["forget"]])
    kinds = ("*config*.json", "*.jinja", "*.md")
    return [
        f"{file}: ships with the model and has a passage of the forget text; clean it"
        for file in sorted(file for kind in kinds for file in folder.glob(kind))
        if secret.shared_with(file.read_text(encoding="utf-8", errors="replace"))
    ]


def _continuation(piece: str, characters: int) -> Continuation:
    prompt = keep_start(piece, characters).rstrip()
    return Continuation(prompt=prompt, gt=piece[len(prompt) :].strip())
