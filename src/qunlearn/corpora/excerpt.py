"""An excerpt of a MUSE folder, for models and machines that cannot take all of it.

The benchmark evaluates long spans of `raw/forget`. A small model trained on an arbitrary part of
`raw` would be asked about texts that it never saw; so here the evaluation is shortened first, and
`raw` then holds just the spans that it looks at. Numbers from an excerpt compare with each other,
not with published ones. KnowMem's questions are about the whole corpus: an excerpt answers only
those whose fact happens to stand in the kept spans, so read its KnowMem and Utility with care.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from qunlearn.corpora.layout import Continuation, Corpus
from qunlearn.corpora.overlaps import Passages
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings


def excerpt(corpus: Corpus, settings: ExcerptSettings) -> Corpus:
    """Keep a part of `corpus`; with `texts=0` all texts stay as they are.

    With `texts=N` and `characters=C`:

    * verbmem: the first N items, each prompt cut to its last C characters (`gt` is kept whole);
    * privleak: the first N texts of each list, cut to their first C characters;
    * `raw/forget`: the spans that verbmem and privleak look at, each once;
    * `raw/retain1`: the first N texts that share no long passage with `raw/forget` or with a
      holdout text (regularising on a text to be forgotten would keep it), cut to C characters;
    * `raw/retain2` and `raw/holdout`: the texts of `privleak/retain` and `privleak/holdout`;
    * `raw/pretrain`: the corpus' own and the rest of retain1, whole, without texts that share a
      long passage with forget, holdout or retain texts.

    A corpus of a few long documents, such as MUSE-Books, has fewer than N texts in retain1, or none
    for pretrain. There retain1 is first cut into pieces of C characters, and these are taken
    instead: the first pieces of all documents, then the second, and so on.

    Cuts fall between words. Questions are cut to the first `questions`; in-context examples stay.

    Raises:
        InputError: no text of retain1 is left.
    """
    limit = settings.questions or None
    knowmem = {
        name: cards if name.endswith("_icl") else cards[:limit]
        for name, cards in corpus.knowmem.items()
    }
    if not settings.texts:
        return replace(corpus, knowmem=knowmem)

    count, size = settings.texts, settings.characters
    verbmem = [
        Continuation(prompt=keep_end(item["prompt"], size), gt=item["gt"])
        for item in corpus.verbmem["forget"][:count]
    ]
    privleak = {
        name: [keep_start(text, size) for text in texts[:count]]
        for name, texts in corpus.privleak.items()
    }
    source = "\n\n".join(corpus.raw["forget"])
    spans = [_joined(item, source) for item in verbmem] + privleak["forget"]

    unseen = [*corpus.raw["holdout"], *corpus.privleak["holdout"]]
    secret = Passages([*corpus.raw["forget"], *corpus.privleak["forget"], *spans, *unseen])
    own = [text for text in corpus.raw["pretrain"] if not secret.shared_with(text)]
    documents = _distinct(corpus.raw["retain1"])

    def parted(texts: Iterable[str], others: Sequence[str]) -> tuple[list[str], list[str]]:
        """Retain1 and pretrain out of `texts`; pretrain shares no passage with `others`."""
        allowed = [text for text in texts if not secret.shared_with(text)]
        retain1 = [keep_start(text, size) for text in allowed[:count]]
        kept = Passages([*retain1, *others])
        rest = _distinct([*own, *allowed[count:]])
        return retain1, [text for text in rest if not kept.shared_with(text)]

    retain1, pretrain = parted(documents, [*corpus.raw["retain2"], *corpus.privleak["retain"]])
    if size and (len(retain1) < count or not pretrain):
        # All of Books' retain1 lies inside retain2: what is kept of retain2 is all that counts.
        retain1, pretrain = parted(_interleaved(documents, size), privleak["retain"])
    if not retain1:
        raise InputError("raw/retain1.json: every text shares a passage with forget or holdout")
    raw = {
        "forget": _distinct(spans),
        "retain1": retain1,
        "retain2": privleak["retain"],
        "holdout": privleak["holdout"],
        "pretrain": pretrain,
    }
    return Corpus(raw, knowmem, {"forget": verbmem}, privleak)


def check_pretrain(texts: Sequence[str], where: str) -> None:
    """Raise an InputError about the corpus `where` if there are no texts of `raw/pretrain`."""
    if not texts:
        raise InputError(
            f"{where}: no text for raw/pretrain.json, on which a base from scratch is trained; "
            "add it, set corpus.excerpt so that some of retain1 is left, or set models.base"
        )


def pieces(text: str, characters: int) -> Iterator[str]:
    """`text` in consecutive pieces as `keep_start` cuts them, without white space around them."""
    while text := text.lstrip():
        piece = keep_start(text, characters)
        yield piece.rstrip()
        text = text[len(piece) :]


def keep_start(text: str, characters: int) -> str:
    """At most the first `characters` of `text`, ending with a whole word; 0: all of it.

    A first word longer than that is kept whole.
    """
    if not characters or len(text) <= characters:
        return text
    whole = re.match(rf"(?s).{{,{characters}}}(?=\s)", text)
    if whole and whole[0].strip():
        return whole[0]
    return re.match(r"\s*\S*", text)[0]  # type: ignore[index]  # matches all texts


def keep_end(text: str, characters: int) -> str:
    """At most the last `characters` of `text`, starting with a whole word; 0: all of it.

    A last word longer than that is kept whole.
    """
    return keep_start(text[::-1], characters)[::-1]


def _joined(item: Continuation, source: str) -> str:
    """Prompt and continuation as they stand in `source`: the benchmark strips both of spaces."""
    plain, spaced = item["prompt"] + item["gt"], f"{item['prompt']} {item['gt']}"
    apart = item["prompt"][-1].isspace() or item["gt"][0].isspace()
    return plain if apart or plain in source else spaced


def _interleaved(texts: Iterable[str], characters: int) -> list[str]:
    """The first pieces of all texts, then the second pieces, and so on, each once."""
    rounds = zip_longest(*(pieces(text, characters) for text in texts), fillvalue="")
    return _distinct(chain.from_iterable(rounds))


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text.strip()))
