"""Whether evaluation stays within what models were trained on."""

from collections.abc import Iterator

from qunlearn.corpora.sizes import read_sizes
from qunlearn.experiment.config import Json
from qunlearn.models.sources import used


def beyond_training(config: Json, corpus: str, context: int) -> list[str]:
    """Warn where evaluation goes beyond the training rows of a target or retrain made here.

    A model that has seen a text in short rows has not learned to go on at the end of a long prompt:
    its VerMem is low although it knows the text. Only the mean lengths of a corpus's prompts are
    known beforehand, as estimates.
    """
    rows = {
        name: config["train"][name]["max_tokens"]
        for name in ("target", "retrain")
        if used(config, corpus)[name].kind == "made"
    }
    shortest = min(rows.values(), default=context)
    lengths = {name: round(min(context, tokens)) for name, tokens in _evaluated(config, corpus)}
    beyond = [f"about {tokens} in {name}" for name, tokens in lengths.items() if tokens > shortest]
    keys = " and ".join(f"train.{name}.max_tokens" for name in rows if rows[name] == shortest)
    return [
        f"{keys}: evaluation of {corpus} goes beyond rows of {shortest} tokens: {each}; raise it, "
        "or shorten what is evaluated"
        for each in [", ".join(beyond)]
        if beyond
    ]


def _evaluated(config: Json, corpus: str) -> Iterator[tuple[str, float]]:
    """Each metric, with the keys that decide its length, and the tokens that a model reads."""
    settings = config["evaluate"]
    means = {name: texts.mean for name, texts in read_sizes(config, corpus).items()}
    yield (
        "VerMem (evaluate.verbmem_tokens)",
        means["verbmem/forget"] + settings["verbmem_tokens"],
    )
    examples, questions = (
        max(means[f"knowmem/{split}_qa{kind}"] for split in ("forget", "retain"))
        for kind in ("_icl", "")
    )
    yield (
        "KnowMem (evaluate.shots, evaluate.knowmem_tokens)",
        settings["shots"] * examples + questions + settings["knowmem_tokens"],
    )
    longest = max(means[f"privleak/{split}"] for split in ("forget", "retain", "holdout"))
    yield "PrivLeak (evaluate.max_tokens)", min(longest, settings["max_tokens"])
