"""An excerpt of a MUSE folder, for models and machines that cannot take all of it.

The benchmark evaluates long spans of `raw/forget`. A small model trained on an arbitrary part of
`raw` would be asked about texts that it never saw; so here the evaluation is shortened first, and
`raw` then holds just the spans that it looks at. Numbers from an excerpt compare with each other,
not with published ones. KnowMem's questions are about the whole corpus: an excerpt answers only
those whose fact happens to stand in the kept spans, so read its KnowMem and Utility with care.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from qunlearn.corpora.layout import Continuation, Corpus
from qunlearn.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings

WINDOW = 80
STRIDE = 40


class Passages:
    """Finds long passages that a text shares with known ones.

    Windows of 80 characters at every 40th position of the known texts are looked up at every
    position of the asked one, with runs of white space taken as one space. A shared passage of
    `WINDOW + STRIDE - 1` = 119 characters is always found, one below 80 never; paraphrases are not.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._windows = {
            text[start : start + WINDOW]
            for text in map(_one_spaced, texts)
            for start in range(0, len(text) - WINDOW + 1, STRIDE)
        }

    def shared_with(self, text: str) -> bool:
        """Whether a passage that the texts were sampled for stands in `text` too."""
        text = _one_spaced(text)
        return any(
            text[start : start + WINDOW] in self._windows for start in range(len(text) - WINDOW + 1)
        )


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
      long passage with forget, holdout or the kept retain texts.

    Cuts fall between words. Questions are cut to the first `questions`; in-context examples stay.
    `scal` and `sust` are left out: they ask for more to forget, not for less.

    Raises:
        InputError: a setting is out of range, or nothing of a list is left.
    """
    _check(settings)
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
    forgotten = [*corpus.raw["forget"], *corpus.privleak["forget"], *spans]
    secret = Passages([*forgotten, *unseen])
    allowed = [text for text in _distinct(corpus.raw["retain1"]) if not secret.shared_with(text)]
    retain1 = [keep_start(text, size) for text in allowed[:count]]
    if not retain1:
        raise InputError("raw/retain1.json: every text shares a passage with forget or holdout")
    kept = Passages([*retain1, *corpus.raw["retain2"], *corpus.privleak["retain"]])
    own = [text for text in corpus.raw["pretrain"] if not secret.shared_with(text)]
    raw = {
        "forget": _distinct(spans),
        "retain1": retain1,
        "retain2": privleak["retain"],
        "holdout": privleak["holdout"],
        "pretrain": [
            text for text in _distinct([*own, *allowed[count:]]) if not kept.shared_with(text)
        ],
    }
    return Corpus(raw, knowmem, {"forget": verbmem}, privleak)


def keep_start(text: str, characters: int) -> str:
    """At most the first `characters` of `text`, ending with a whole word; 0: all of it.

    A first word longer than that is kept whole.
    """
    if not characters or len(text) <= characters:
        return text
    end = characters
    while end > 0 and not (text[end].isspace() and text[:end].strip()):
        end -= 1
    return text[:end] if end else _first_word(text)


def keep_end(text: str, characters: int) -> str:
    """At most the last `characters` of `text`, starting with a whole word; 0: all of it.

    A last word longer than that is kept whole.
    """
    return keep_start(text[::-1], characters)[::-1]


def _check(settings: ExcerptSettings) -> None:
    for key in ("texts", "characters", "questions"):
        if getattr(settings, key) < 0:
            raise InputError(f"excerpt {key}={getattr(settings, key)}: must be 0 (all) or more")
    if settings.characters and not settings.texts:
        raise InputError(
            f"excerpt characters={settings.characters} with texts=0: a corpus kept whole is not "
            "cut; give texts, or drop characters"
        )


def _first_word(text: str) -> str:
    lead = len(text) - len(text.lstrip())
    return text[: lead + len(text.split(maxsplit=1)[0])]


def _joined(item: Continuation, source: str) -> str:
    """Prompt and continuation as they stand in `source`: the benchmark strips both of spaces."""
    plain = item["prompt"] + item["gt"]
    spaced = item["prompt"] + " " + item["gt"]
    if plain in source or item["prompt"][-1].isspace() or item["gt"][0].isspace():
        return plain
    return spaced


def _one_spaced(text: str) -> str:
    return " ".join(text.split())


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text.strip()))
