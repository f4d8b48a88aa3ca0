"""The last look before the first job: what would fail or mislead hours later is one line here.

Folders, files and commits were looked at before (`experiment.inputs`). Here come the models'
configs, their tokenizers with the corpus, and the machine, each through the function with which
the jobs will read or refuse the same thing.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from shutil import disk_usage
from types import SimpleNamespace
from typing import Any

from qunlearn.corpora.sizes import read_sizes
from qunlearn.corpora.text import leaks
from qunlearn.evaluate.prompts import question_prompts
from qunlearn.experiment.config import Json, runs, unlearn_settings
from qunlearn.experiment.controls import MIDRISE
from qunlearn.experiment.inputs import about, read_corpus
from qunlearn.experiment.names import AFTER, REFERENCES
from qunlearn.models import sources
from qunlearn.models.checkpoints import is_adapter
from qunlearn.models.fetching import read_shape, read_tokenizer
from qunlearn.models.shape import ModelShape
from qunlearn.plan import Job, disk, estimate
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run import hardware
from qunlearn.run.errors import InputError
from qunlearn.run.files import existing, write_json
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.quantization import CalibrationSettings

Models = Mapping[str, ModelShape]
"""Base, where it is needed, target and retrain of a corpus."""


def preflight(
    config: Json, results: Path, *, cluster: bool, python: str | None = None
) -> tuple[list[str], list[Job]]:
    """Look at everything: the warnings, and the plan of the experiment.

    Args:
        config: full, as `config.resolve` gives it.
        results: where the experiment's outputs go; it need not exist.
        cluster: whether jobs run on other machines: then what this one lacks is a warning.
        python: what jobs run on; None: an environment that is made later.

    Raises:
        InputError: the first thing that would make a job fail.
    """
    warnings: list[str] = []
    models = {corpus: look(config, corpus) for corpus in config["corpora"]}
    for corpus, found in models.items():
        _check_shapes(corpus, found)
        _check_precisions(config, corpus, found)
        warnings += _check_lengths(config, corpus, found)
        if texts := read_corpus(config, corpus, results):
            with about("evaluate.shots", corpus):
                for split in ("forget", "retain"):
                    question_prompts(texts, split, EvaluateSettings(**config["evaluate"]))
            if (after := sources.used(config, corpus).get(AFTER)) and after.kind == "folder":
                warnings += leaks(texts, Path(after.value))
    if python in (None, sys.executable):
        warnings += check_texts(config, results)
        if python:
            check_libraries(config)
    else:
        said = hardware.run_on(str(python), "qunlearn.preflight", str(results), json.dumps(config))
        warnings += json.loads(said)
    jobs = estimate(config, {corpus: found["target"] for corpus, found in models.items()})
    _check_disk(jobs, results)
    warnings += _check_memory(config, jobs, cluster=cluster)
    return warnings, jobs


def keep(warnings: Sequence[str], file: Path) -> None:
    """Write the warnings as JSON, and say them on stderr."""
    print(*(f"warning: {warning}\n" for warning in warnings), sep="", end="", file=sys.stderr)
    write_json(file, {"warnings": warnings})


def look(config: Json, corpus: str) -> dict[str, ModelShape]:
    """Read the configs of a corpus's models; those that are trained here follow their base.

    Raises:
        InputError: a checkpoint cannot be had or read, or is of another kind.
    """
    found: dict[str, ModelShape] = {}
    for name, source in sources.used(config, corpus).items():  # the base first, where it is needed
        if source.kind == "folder" and is_adapter(Path(source.value)):
            continue  # of the target's shape, or refused by check_texts
        if source.kind == "made":
            shape = ModelShape.from_architecture(config["models"]["architecture"])
            found[name] = replace(found["base"], kind="") if "base" in found else shape
        else:
            with about(f"models.{name}", source):
                found[name] = read_shape(sources.pinned(config, source))
    return found


def _check_shapes(corpus: str, models: Models) -> None:
    """All models are of one architecture; their contexts may differ."""
    given = [(name, x.kind, replace(x, context=0)) for name, x in models.items() if x.kind]
    for (first, *one), (name, *two) in pairwise(given):
        if one != two:
            raise InputError(
                f"config keys 'models.{first}' and 'models.{name}': those of {corpus} are not of "
                f"one shape ({one[0]}, {one[1]}; {two[0]}, {two[1]}); give checkpoints of one model"
            )


def _check_precisions(config: Json, corpus: str, models: Models) -> None:
    """Every method takes the matrices of the models."""
    for name, model in models.items():
        layers: Any = {
            matrix: SimpleNamespace(in_features=inputs, out_features=outputs)
            for matrix, (inputs, outputs) in model.linear_shapes().items()
        }
        for precision in config["precisions"] + [MIDRISE] * config["controls"]:
            with about("precisions", f"models.{name} of {corpus}"):
                method_of(precision).check(layers, Precision.parse(precision))


def _check_lengths(config: Json, corpus: str, models: Models) -> Iterator[str]:
    """Rows and windows fit the context; a warning where evaluation goes beyond it, or beyond what
    target or retrain is trained on here: its VerMem is low although it knows the text.

    Only the mean lengths of a corpus's prompts are known beforehand, as estimates.
    """
    context = min(model.context for model in models.values())
    evaluation = config["evaluate"]
    made = {name: config["train"][name]["max_tokens"] for name in models if not models[name].kind}
    lengths = {f"train.{name}.max_tokens": rows for name, rows in made.items()}
    own = [unlearn_settings(config, run.cell) for run in runs(config) if run.corpus == corpus]
    if own:
        lengths["unlearn.settings.max_tokens"] = max(each["max_tokens"] for each in own)
    if any(method_of(name).calibrated for name in config["precisions"]):
        lengths["quantization.calibration.length"] = config["quantization"]["calibration"]["length"]
    for key in ("verbmem_tokens", "knowmem_tokens"):  # and at least one of the prompt
        lengths[f"evaluate.{key}"] = evaluation[key] + 1
    for key, length in lengths.items():
        if length > context:
            raise InputError(
                f"config key '{key}': {length} tokens are more than the context of the models of "
                f"{corpus}, {context}; lower it"
            )
    if evaluation["max_tokens"] > context:
        yield f"evaluate.max_tokens: texts of {corpus} are cut to the context, {context}"
    means = {name: texts.mean for name, texts in read_sizes(config, corpus).items()}
    card = evaluation["shots"] * means["knowmem/forget_qa_icl"] + means["knowmem/forget_qa"]
    read = {
        "verbmem_tokens": means["verbmem/forget"] + evaluation["verbmem_tokens"],
        "knowmem_tokens": card + evaluation["knowmem_tokens"],
        "max_tokens": min(means["privleak/forget"], evaluation["max_tokens"]),
    }
    rows = min(made.get(name, context) for name in ("target", "retrain"))
    if beyond := [f"evaluate.{key}" for key, mean in read.items() if min(context, mean) > rows]:
        yield (
            f"{', '.join(beyond)}: evaluation of {corpus} goes beyond the rows of {rows} tokens of "
            "train.target or train.retrain; raise their max_tokens, or shorten what is evaluated"
        )


def check_texts(config: Json, results: Path) -> Iterator[str]:
    """Tokenizers fit their models and each other, and the corpus has enough to ask and to draw.

    Raises:
        InputError: a tokenizer cannot be read or has an id without an embedding; those of target
            and retrain differ; or there is too little text for the calibration.
    """
    for corpus in config["corpora"]:
        models = look(config, corpus)
        if not any(model.kind for model in models.values()):
            continue  # the tokenizer is trained with them
        if find_spec("transformers") is None:
            yield f"models of {corpus}: no transformers here, so tokenizers are read by jobs alone"
            continue
        from qunlearn.evaluate.prompts import shortfalls
        from qunlearn.models.tokens import same_ids
        from qunlearn.quantize.calibration import draw

        names = [name for name in (*REFERENCES, AFTER) if name in models]
        others = {name: _tokenizer(config, corpus, name, models) for name in names}
        target = others.pop("target")
        for name, other in others.items():
            if target is None or other is None:
                what = f"target's tokenizer and {name}'s"
                yield f"models of {corpus}: {what} can be compared only later"
            elif not same_ids(target, other):
                raise InputError(
                    f"config keys 'models.target' and 'models.{name}': those of {corpus} have "
                    "different tokenizers, so that scores do not compare; set models.tokenizer"
                )
        yield from _check_adapter(config, corpus)
        texts = read_corpus(config, corpus, results)
        if target is None or texts is None:
            continue
        settings, context = EvaluateSettings(**config["evaluate"]), models["target"].context
        if any(method_of(name).calibrated for name in config["precisions"]):
            sample = CalibrationSettings(**config["quantization"]["calibration"])
            with about("quantization.calibration", corpus):
                draw(texts.raw[sample.split], target, sample)
        yield from (f"{corpus}: {line}" for line in shortfalls(target, context, texts, settings))


def check_libraries(config: Json) -> None:
    """Raise an InputError where this Python, the jobs', lacks what a precision is made with."""
    for name in config["precisions"]:
        if find_spec((library := method_of(name).library).replace("-", "_")) is None:
            raise InputError(
                f"config key 'precisions': {name} needs {library}, which is not installed; install "
                "it, or drop the precision"
            )


def _check_adapter(config: Json, corpus: str) -> Iterator[str]:
    """An adapter to audit is one of the target."""
    used = sources.used(config, corpus)
    after, kinds = used.get(AFTER), {used[name].kind for name in ("target", AFTER) if name in used}
    if after and kinds == {"folder"} and is_adapter(Path(after.value)):
        from qunlearn.models.updates import check_adapter

        with about("models.after", after):
            yield from check_adapter(Path(used["target"].value), Path(after.value))


def _tokenizer(config: Json, corpus: str, name: str, models: Models) -> Any:
    """The tokenizer of target, retrain or after, or of their base; None of a base from scratch."""
    from qunlearn.models.tokens import check_ids

    used, own = sources.used(config, corpus), sources.tokenizer_of(config, corpus)
    given = "base" if used[name].kind == "made" else name
    if used[given].kind == "made":
        return None
    with about("models.tokenizer" if own else f"models.{given}", origin := own or used[given]):
        tokenizer = read_tokenizer(sources.pinned(config, origin))
        check_ids(tokenizer, models[name].vocabulary)
    return tokenizer


def _check_disk(jobs: Sequence[Job], results: Path) -> None:
    """There is room for what jobs leave, and for what one at a time has besides."""
    stay, work = disk(jobs)
    present = sum(file.lstat().st_size for file in results.rglob("*") if file.is_file())
    needed, free = max(0, stay - present) + work, disk_usage(existing(results)).free
    if needed > free:
        raise InputError(
            f"{results}: another {needed / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are "
            "free; make room, set keep_models to false, or use a larger disk"
        )


def _check_memory(config: Json, jobs: Sequence[Job], *, cluster: bool) -> list[str]:
    """The machine has the memory and the GPU that jobs take; on a cluster these are warnings."""
    gpus, problems = hardware.gpu_bytes(), []
    kinds = [kind for kind, job in config["resources"].items() if job["gpu"]]
    if kinds and not gpus:
        key = f"config key 'resources.{kinds[0]}.gpu'"
        problems.append(f"{key}: no NVIDIA GPU is here; write 0, or use one")
    for part, has in {"host": hardware.host_bytes(), "gpu": max(gpus, default=None)}.items():
        needed, stage = max((getattr(job, part), job.stage) for job in jobs)
        if has is not None and needed > has:
            problems.append(
                f"{stage}: {needed / 1e9:.1f} GB of {part} memory are needed, and this machine "
                f"has {has / 1e9:.1f} GB; lower micro_batch_size, or use a larger machine"
            )
    if problems and not cluster:
        raise InputError(problems[0])
    return problems


if __name__ == "__main__":
    try:
        given = json.load(sys.stdin)
        print(json.dumps(list(check_texts(given, Path(sys.argv[1])))))
        check_libraries(given)
    except InputError as error:
        sys.exit(f"error: {error}")
