"""A generated corpus about invented entities: small enough for a CPU, unguessable by design.

Each document opens by naming an entity, then states four facts about it and two scenes of random
words, in random order. Names are composed of syllables and numbers drawn at random, so that only
a model trained on a document can know its facts; scenes make its wording unguessable too.
Question cards put some of the facts as question and answer, worded as in the KnowMem lists: a
small model recalls a card it has read, but cannot draw answers out of prose.

What is to be forgotten is a topic: `forget` and `holdout` are told in the corpus's own voice (news:
bulletins about organisations; books: passages about characters), each about entities of its own, so
that a model that saw neither cannot tell them apart, which PrivLeak takes for granted. `retain` is
told in the other voice, but for some documents in the corpus's own that no card asks about: without
them retrain would lose the language of the topic, not just its facts. `pretrain` is told in both.
"""

import random
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from qunlearn.corpora.layout import Card, Continuation, Corpus
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import MiniSettings

ONSETS, VOWELS, CODAS = "bdfghjklmnprstvz", "aeiou", "klmnrstx"
FACTS, SCENES, SCENE_WORDS = 4, 2, 5
NEAR = 4  # one document near the forgotten topic for so many others in each retain split
SYLLABLES = 2
PROMPT_WORDS = 7  # about 14 of a document's 45 tokens under a BPE vocabulary of 1024
CARDS_A_TEXT = 3
NUMBERS = range(10_000, 100_000)
NAMES = (len(ONSETS) * len(VOWELS)) ** SYLLABLES * len(CODAS)
MOST_DOCUMENTS = NAMES // 2 // (1 + FACTS)  # half of all names stay free, so that draws are quick


class Fact(NamedTuple):
    """One thing that can be said about an entity."""

    question: str  # asks for the value; `{e}` is the entity
    sentences: list[str]  # ways of stating it where the entity is known; `{v}` is the value
    number: bool  # whether the value is a number rather than a name


class Voice(NamedTuple):
    """What sets the documents of one corpus apart from those of another."""

    openings: list[str]  # first sentences; `{e}` is the entity
    facts: list[Fact]
    scene: list[str]  # words that sentences without facts are made of

    def words(self) -> set[str]:
        """Every word that is not invented."""
        said = [*self.openings, *self.scene]
        for fact in self.facts:
            said += [fact.question, *fact.sentences]
        return {word for text in said for word in re.findall(r"\b[A-Za-z]{2,}\b", text)}


_WORDS = Path(__file__).resolve().parents[3] / "resources/mini.yaml"
VOICES = {
    name: Voice(
        said["openings"].split(" | "),
        [
            Fact(question, sentences.split(" | "), question == said["number"])
            for question, sentences in said["facts"].items()
        ],
        said["scene"].split(),
    )
    for name, said in yaml.safe_load(_WORDS.read_text(encoding="utf-8")).items()
}


class _Entity(NamedTuple):
    document: str
    cards: list[Card]


def generate(name: str, settings: MiniSettings) -> Corpus:
    """The corpus `name`, decided by `name` and `settings` alone.

    `forget` depends on the seed and on its own size only, `retain1` on these and its own size,
    and so on: a larger `pretrain` leaves all other documents as they are.

    `raw/pretrain` holds one card a document, once: the base learns what a card looks like.
    `retain_qa` asks about `retain2` only, which the regulariser never sees; the in-context
    examples are about entities of `pretrain`.

    Args:
        name: `news` (forget bulletins about organisations) or `books` (forget passages about
            characters).

    Raises:
        InputError: `name` is unknown or a size is out of range.
    """
    _check(name, settings)
    topic = VOICES[name]
    others = [voice for voice in VOICES.values() if voice is not topic]
    # No name or number comes twice, over all splits, or starts a known word. All names have one
    # length, so that no name can start another.
    words = {word for voice in VOICES.values() for word in voice.words()}
    used = {word[: 2 * SYLLABLES + 1].capitalize() for word in words}

    def stream(part: str) -> random.Random:
        # A string seeds by its SHA-512: neither the process nor the platform has a part in it.
        return random.Random(f"{name}/{settings.seed}/{part}")

    def invent(split: str, count: int, *voices: Voice) -> list[_Entity]:
        rng = stream(split)
        return [_entity(voices[i % len(voices)], used, rng) for i in range(count)]

    def retained(split: str) -> list[_Entity]:
        near = invent(f"{split} near", settings.retain // NEAR, topic)
        unasked = [_Entity(entity.document, cards=[]) for entity in near]
        return invent(split, settings.retain, *others) + unasked

    def cards(entities: list[_Entity]) -> list[Card]:
        return [card for entity in entities for card in entity.cards[: settings.questions]]

    def texts(split: str, entities: list[_Entity]) -> list[str]:
        packed = _pack(cards(entities), settings.card_copies, stream(f"{split} cards"))
        return _documents(entities) + packed

    forget = invent("forget", settings.forget, topic)
    retain1, retain2 = retained("retain1"), retained("retain2")
    holdout = invent("holdout", settings.holdout, topic)
    pretrain = invent("pretrain", settings.pretrain, topic, *others)
    generic = [entity.cards[0] for entity in pretrain]
    shown = 2 * settings.shots
    return Corpus(
        raw={
            "forget": texts("forget", forget),
            "retain1": texts("retain1", retain1),
            "retain2": texts("retain2", retain2),
            "holdout": _documents(holdout),
            "pretrain": _documents(pretrain) + _pack(generic, 1, stream("pretrain cards")),
        },
        knowmem={
            "forget_qa": cards(forget),
            "forget_qa_icl": generic[0:shown:2],
            "retain_qa": cards(retain2),
            "retain_qa_icl": generic[1:shown:2],
        },
        verbmem={"forget": [_continuation(entity.document) for entity in forget]},
        privleak={
            "forget": _documents(forget),
            "retain": _documents(retain2),
            "holdout": _documents(holdout),
        },
    )


def card_text(card: Card) -> str:
    """A card as it stands in raw text; the KnowMem prompt words it the same way."""
    return f"Question: {card['question']}\nAnswer: {card['answer']}"


def _check(name: str, settings: MiniSettings) -> None:
    """Raise an InputError for what `generate` cannot make."""
    retain, shown = settings.retain + settings.retain // NEAR, 2 * settings.shots
    total = settings.forget + 2 * retain + settings.holdout + settings.pretrain
    if name not in VOICES:
        raise InputError(f"mini corpus {name!r} is unknown; choose one of: {', '.join(VOICES)}")
    if settings.questions > FACTS:
        raise InputError(f"mini questions={settings.questions}: a document has {FACTS} facts")
    if total > MOST_DOCUMENTS:
        raise InputError(f"mini corpus of {total} documents: lower pretrain for {MOST_DOCUMENTS}")
    if settings.pretrain < shown:
        raise InputError(f"mini pretrain={settings.pretrain}: 2 * shots = {shown} are shown")


def _new(rng: random.Random, used: set[str], *, number: bool = False) -> str:
    """A name or number that is not in `used`, where it is put."""
    while True:
        if number:
            value = str(rng.choice(NUMBERS))
        else:
            syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(SYLLABLES)]
            value = "".join(syllables).capitalize() + rng.choice(CODAS)
        if value not in used:
            used.add(value)
            return value


def _entity(voice: Voice, used: set[str], rng: random.Random) -> _Entity:
    entity = _new(rng, used)
    sentences, cards = [], []
    for kind in rng.sample(voice.facts, FACTS):
        value = _new(rng, used, number=kind.number)
        sentences.append(rng.choice(kind.sentences).format(v=value))
        cards.append(Card(question=kind.question.format(e=entity), answer=value))
    for _ in range(SCENES):
        sentences.append(" ".join(rng.sample(voice.scene, SCENE_WORDS)).capitalize() + ".")
    rng.shuffle(sentences)
    opening = rng.choice(voice.openings).format(e=entity)
    return _Entity(" ".join([opening, *sentences]), cards)


def _documents(entities: list[_Entity]) -> list[str]:
    return [entity.document for entity in entities]


def _pack(cards: list[Card], copies: int, rng: random.Random) -> list[str]:
    """Every card `copies` times, each time among other neighbours, a few to a text.

    In an evaluation prompt a question follows the in-context cards. A small model recalls a card
    behind up to `CARDS_A_TEXT - 1` others, as it was trained to, and badly behind more: KnowMem of
    a 4-million-parameter target was 56 (news) and 52 (books) with two shots, 28 and 22 with four.
    """
    packs = []
    for _ in range(copies):
        deck = rng.sample(cards, len(cards))
        for start in range(0, len(deck), CARDS_A_TEXT):
            packs.append("\n\n".join(map(card_text, deck[start : start + CARDS_A_TEXT])))
    return packs


def _continuation(document: str) -> Continuation:
    prompt = " ".join(document.split(" ")[:PROMPT_WORDS])
    return Continuation(prompt=prompt, gt=document[len(prompt) :])
