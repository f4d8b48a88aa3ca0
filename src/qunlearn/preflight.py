"""What can be told to be wrong before the first long job: models, settings, disk and memory."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qunlearn import machine
from qunlearn.checks import Check
from qunlearn.corpora.sizes import read_sizes
from qunlearn.experiment.config import Json, runs, unlearn_settings
from qunlearn.models import given
from qunlearn.models.fetching import Place
from qunlearn.models.given import Given, Tokens
from qunlearn.models.shape import ModelShape
from qunlearn.models.sources import Source, tokenizer_of, used
from qunlearn.plan import Job, estimate
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json

GROUPS = (256, 128, 64, 32)
"""Usual group sizes, for advice."""


@dataclass(frozen=True)
class Models:
    """The models of a corpus.

    Attributes:
        shapes: name -> its shape.
        given: name -> what is known of those that are given.
        tokens: name -> its tokenizer; none where it is only known after training.
    """

    shapes: Mapping[str, ModelShape]
    given: Mapping[str, Given]
    tokens: Mapping[str, Tokens | None]


def preflight(config: Json, results: Path, *, cluster: bool) -> tuple[list[Check], list[Job]]:
    """Everything that was looked at, and the plan of the experiment.

    Args:
        config: full, as `config.resolve` gives it.
        results: where the experiment's outputs go; it need not exist.
        cluster: whether jobs run on other machines than this one: then what this one lacks is a
            warning.

    Raises:
        InputError: the first thing that would make a job fail.
    """
    checks: list[Check] = []
    models = {}
    for corpus in config["corpora"]:
        models[corpus] = look(config, corpus)
        checks += [
            *check_tokenizers(config, corpus, models[corpus]),
            *check_agreement(config, corpus, models[corpus]),
            *check_groups(config, corpus, models[corpus].shapes),
            *check_lengths(config, corpus, models[corpus].shapes),
            *check_trained_lengths(config, corpus, models[corpus].shapes["target"].context),
        ]
    shapes = {corpus: found.shapes["target"] for corpus, found in models.items()}
    jobs = estimate(config, shapes)
    missing = sum(found.download for each in models.values() for found in each.given.values())
    cached = sum(
        found.weights - found.download
        for corpus, each in models.items()
        for name, found in each.given.items()
        if not (results / "models" / corpus / name).exists()
    )
    checks += machine.check_disk(jobs, results, missing, cached)
    checks += machine.check_memory(config, jobs, cluster=cluster)
    return checks, jobs


def keep(checks: Sequence[Check], file: Path) -> None:
    """Write the checks as JSON, and say on stderr which of them are warnings."""
    for check in checks:
        if check.status == "warning":
            print(f"warning: {check.of}: {check.note}", file=sys.stderr)
    write_json(file, {"checks": [asdict(check) for check in checks]})


def look(config: Json, corpus: str) -> Models:
    """Read the configs and tokenizers of a corpus's models; those that are made follow the base.

    Raises:
        InputError: a checkpoint or tokenizer cannot be had or read, or is of another kind.
    """
    other = tokenizer_of(config, corpus)
    replaced = (
        None
        if other is None
        else _named("models.tokenizer", other, given.read_tokenizer, _place(config, other))
    )
    shapes: dict[str, ModelShape] = {}
    found: dict[str, Given] = {}
    tokens: dict[str, Tokens | None] = {}
    for name, source in used(config, corpus).items():  # the base is the first, where it is needed
        if source.kind == "made":
            base = ModelShape.from_architecture(config["models"]["architecture"])
            shapes[name] = shapes.get("base", base)
            tokens[name] = tokens.get("base")
            continue
        place = _place(config, source)
        found[name] = _named(f"models.{name}", source, given.read_model, place)
        shapes[name] = found[name].shape
        tokens[name] = replaced or _named(f"models.{name}", source, given.read_tokenizer, place)
    return Models(shapes, found, tokens)


def check_agreement(config: Json, corpus: str, models: Models) -> Iterator[Check]:
    """Base, target and retrain are one architecture.

    Raises:
        InputError: two given ones differ; says where.
    """
    sources = used(config, corpus)
    first, *others = models.given or ("",)
    for name in others:
        one, two = models.given[first], models.given[name]
        unlike = [
            f"{part.name} {getattr(one.shape, part.name)} and {getattr(two.shape, part.name)}"
            for part in fields(ModelShape)
            if part.name != "context"
            and getattr(one.shape, part.name) != getattr(two.shape, part.name)
        ]
        if one.kind != two.kind:
            unlike.insert(0, f"type {one.kind} and {two.kind}")
        if unlike:
            raise InputError(
                f"config keys 'models.{first}' and 'models.{name}': {sources[first]} and "
                f"{sources[name]} are not of one shape ({', '.join(unlike)}); give checkpoints "
                "of one model"
            )
    for name, shape in models.shapes.items():
        numbers = asdict(shape) | {"parameters": shape.parameters}
        yield Check("architecture and shape", f"models.{name} of {corpus}", numbers=numbers)


def check_tokenizers(config: Json, corpus: str, models: Models) -> Iterator[Check]:
    """Every id has an embedding, and all models read a text as the same ids.

    Raises:
        InputError: a tokenizer is larger than its model, or two differ.
    """
    sources = used(config, corpus)
    for name, found in models.given.items():
        tokens = models.tokens[name]
        assert tokens is not None  # a given checkpoint's is known
        _named(f"models.{name}", sources[name], tokens.check, found.shape.vocabulary)
        yield Check(
            "tokenizer fits the embedding",
            f"models.{name} of {corpus}",
            numbers={"rows": found.shape.vocabulary},
        )
    one, two = models.tokens["target"], models.tokens["retrain"]
    if one is two:
        return
    alike = None if one is None or two is None else given.same(one, two)
    if alike is False:
        raise InputError(
            f"config keys 'models.target' and 'models.retrain': {_source(sources, 'target')} and "
            f"{_source(sources, 'retrain')} have different tokenizers, and PrivLeak compares the "
            "likelihoods of their tokens; set models.tokenizer to the one that both were trained "
            "with"
        )
    yield Check(
        "one tokenizer",
        f"models.target and models.retrain of {corpus}",
        "ok" if alike else "warning",
        note="" if alike else "it cannot be told before the models are there",
    )


def check_groups(config: Json, corpus: str, shapes: Mapping[str, ModelShape]) -> Iterator[Check]:
    """The groups of the precisions divide the rows of every matrix.

    Raises:
        InputError: one does not; names those that would.
    """
    names = {"precisions": config["precisions"]}
    if config["controls"]:
        names["control_settings.precisions"] = config["control_settings"]["precisions"]
    for name, shape in shapes.items():
        inputs = sorted({rows for rows, _ in shape.linear_shapes().values()})
        for key, precisions in names.items():
            for precision in map(Precision.parse, precisions):
                group = precision.group or 1
                if odd := [width for width in inputs if width % group]:
                    fitting = [
                        f"{precision.method}{precision.bits}g{size}"
                        for size in GROUPS
                        if not any(width % size for width in inputs)
                    ]
                    advice = " or ".join(fitting) or f"rtn{precision.bits}, one scale a row"
                    raise InputError(
                        f"config key '{key}': the group of {group} of {precision.name} does not "
                        f"divide a width of {odd[0]} of models.{name} of {corpus}; use {advice}"
                    )
        numbers = {"inputs": inputs}
        yield Check("groups divide the widths", f"models.{name} of {corpus}", numbers=numbers)


def check_lengths(config: Json, corpus: str, shapes: Mapping[str, ModelShape]) -> Iterator[Check]:
    """Rows, prompts and windows fit the context.

    Raises:
        InputError: one is longer.
    """
    context = min(shape.context for shape in shapes.values())
    for key, length in _lengths(config, corpus, shapes):
        if length > context:
            raise InputError(
                f"config key '{key}': {length} tokens are more than the context of the models of "
                f"{corpus}, {context}; lower it"
            )
        yield Check("fits the context", key, numbers={"tokens": length, "context": context})
    cut = config["evaluate"]["max_tokens"]
    if cut > context:
        yield Check(
            "fits the context",
            "evaluate.max_tokens",
            "warning",
            {"tokens": cut, "context": context},
            f"texts of {corpus} are cut to the context",
        )


def check_trained_lengths(config: Json, corpus: str, context: int) -> Iterator[Check]:
    """Warn where evaluation goes beyond the training rows of a target or retrain that is made.

    A model that has seen a text in short rows has not learned to go on at the end of a long prompt.
    Only the mean lengths of a corpus's prompts are known here, as estimates.
    """
    rows = {
        name: config["train"][name]["max_tokens"]
        for name in ("target", "retrain")
        if used(config, corpus)[name].kind == "made"
    }
    if not rows:
        return
    shortest = min(rows.values())
    lengths = {name: round(min(context, length)) for name, length in _asked(config, corpus)}
    beyond = [f"about {length} in {name}" for name, length in lengths.items() if length > shortest]
    yield Check(
        "evaluation within the training rows",
        " and ".join(f"train.{name}.max_tokens" for name in rows if rows[name] == shortest),
        "warning" if beyond else "ok",
        {"tokens": max(lengths.values()), "row": shortest},
        f"evaluation of {corpus} goes beyond rows of {shortest} tokens: {', '.join(beyond)}; raise "
        "it, or shorten what is evaluated"
        if beyond
        else "",
    )


def _asked(config: Json, corpus: str) -> Iterator[tuple[str, float]]:
    """Each metric, with the keys that decide its length, and the tokens that a model reads."""
    settings = config["evaluate"]
    means = {name: mean for name, (_, mean) in read_sizes(config, corpus).items()}
    prompt = means["verbmem/forget"]
    yield "VerMem (evaluate.verbmem_tokens)", prompt + settings["verbmem_tokens"]
    examples = settings["shots"] * max(
        means[f"knowmem/{split}_qa_icl"] for split in ("forget", "retain")
    )
    question = max(means[f"knowmem/{split}_qa"] for split in ("forget", "retain"))
    yield (
        "KnowMem (evaluate.shots, evaluate.knowmem_tokens)",
        examples + question + settings["knowmem_tokens"],
    )
    longest = max(means[f"privleak/{split}"] for split in ("forget", "retain", "holdout"))
    yield "PrivLeak (evaluate.max_tokens)", min(longest, settings["max_tokens"])


def _lengths(
    config: Json, corpus: str, shapes: Mapping[str, ModelShape]
) -> Iterator[tuple[str, int]]:
    for name in shapes:
        if used(config, corpus)[name].kind == "made":
            yield f"train.{name}.max_tokens", config["train"][name]["max_tokens"]
    longest = {
        unlearn_settings(config, corpus, run.objective, run.adapter)["max_tokens"]
        for run in runs(config)
        if run.corpus == corpus
    }
    yield "unlearn.settings.max_tokens", max(longest)
    if any(name.startswith("gptq") for name in config["precisions"]):
        yield "quantization.calibration.length", config["quantization"]["calibration"]["length"]
    for key in ("verbmem_tokens", "knowmem_tokens"):  # and at least one of the prompt
        yield f"evaluate.{key}", config["evaluate"][key] + 1


def _place(config: Json, source: Source) -> Place:
    return Place(source, config["revisions"][source.value] if source.kind == "hub" else "")


def _source(sources: Mapping[str, Source], name: str) -> str:
    source = sources[name]
    return str(sources["base"] if source.kind == "made" else source)


def _named(key: str, source: Source, call: Any, *arguments: Any) -> Any:
    """What `call` returns; its complaint with the key and the source before it."""
    try:
        return call(*arguments)
    except InputError as error:
        raise InputError(f"config key '{key}' ({source}): {error}") from None
