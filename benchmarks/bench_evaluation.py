"""MUSE's evaluation of a small model: ours, and the ways of `plain_evaluation`.

All put the same prompts and texts to the same model and must give the same texts; scoring
them is the same work for all and is not timed. Seconds are CPU seconds of this process, which has
one thread (OMP_NUM_THREADS=1).
"""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import torch

from benchmarks import plain_evaluation as plain
from benchmarks.harness import Comparison, interleaved, keep
from benchmarks.small_model import SHOTS, small_corpus, small_model
from qunlearn.evaluate.batching import token_logprobs
from qunlearn.evaluate.generate import continuations
from qunlearn.evaluate.prompts import STOP_STRINGS, cut_answer, is_answered, question_prompts
from qunlearn.settings.evaluation import EvaluateSettings

VERBMEM_TOKENS, KNOWMEM_TOKENS, ROWS = 40, 32, 32
WAYS = ("ours", "in turn", "padded", "peer")
PEER_ROWS = 8
TOLERANCE = 1e-4  # nats
BOUND_BY = (
    "Of our time the linear layers' multiplications are the largest part (cProfile); oneDNN does "
    "them at 160 GFLOP/s with 32 rows and 240 with many, where MKL, which torch asks by itself, "
    "does 100 on this processor (AVX-512, not Intel's), as the other ways do. Then come attention "
    "over the shared prefix, and Python's cost of a step, shared by 32 rows. What the other ways "
    "lack besides: the prefix of ten examples is run once, a batch ends with its last answer, and "
    "keys and values stay where they are instead of being copied at each step. open-unlearning's "
    "way does not score the retained texts; ours does. The likelihood of texts is long rows in "
    "either way, so it gains least in batches, which bounds the whole."
)


def main() -> None:
    """Train the model, check that all ways agree, time them in turn."""
    corpus = small_corpus()
    model, tokenizer = small_model(corpus)
    verbatim = [item["prompt"] for item in corpus.verbmem["forget"]]
    settings = EvaluateSettings(shots=SHOTS, prompt="plain")
    questions = {split: question_prompts(corpus, split, settings) for split in ("forget", "retain")}
    texts = [text for name in ("forget", "holdout", "retain") for text in corpus.privleak[name]]
    membership = texts[: -len(corpus.privleak["retain"])]

    def ask(generate: Callable[..., list[str]], **early: Any) -> list[str]:
        outputs = generate(prompts=verbatim, new_tokens=VERBMEM_TOKENS)
        for prompts in questions.values():
            answers = generate(prompts=prompts, new_tokens=KNOWMEM_TOKENS, **early)
            outputs += [cut_answer(answer, "plain") for answer in answers]
        return outputs

    def in_turn(**asked: Any) -> list[str]:
        return plain.generate_one_at_a_time(model, tokenizer, **asked)

    def padded(**asked: Any) -> list[str]:
        return plain.generate_in_batches(model, tokenizer, **asked, size=ROWS)

    def peer(**asked: Any) -> list[str]:
        return plain.generate_in_batches(model, tokenizer, **asked, size=PEER_ROWS)

    def ours(**asked: Any) -> list[str]:
        return continuations(model, tokenizer, **asked, batch_size=ROWS)

    ways: dict[str, Callable[[], Any]] = {
        "ours, texts": lambda: ask(ours, finished=partial(is_answered, prompt="plain")),
        "in turn, texts": lambda: ask(in_turn),
        "padded, texts": lambda: ask(padded),
        "peer, texts": lambda: ask(peer, stops=STOP_STRINGS),
        "ours, likelihoods": lambda: token_logprobs(
            model, tokenizer, texts, batch_size=ROWS, max_tokens=256
        ),
        "in turn, likelihoods": lambda: plain.logprobs_one_at_a_time(model, tokenizer, texts),
        "padded, likelihoods": lambda: plain.logprobs_in_batches(model, tokenizer, texts, ROWS),
        "peer, likelihoods": lambda: plain.logprobs_in_batches(
            model, tokenizer, membership, PEER_ROWS
        ),
    }
    outputs = _check([ways[f"{name}, texts"]() for name in WAYS])
    _check_near([ways[f"{name}, likelihoods"]() for name in WAYS])
    seconds = interleaved(ways, clock=time.process_time, warm_up=False)  # the checks were one

    def whole(name: str) -> list[float]:
        pairs = zip(seconds[f"{name}, texts"], seconds[f"{name}, likelihoods"], strict=True)
        return [sum(pair) for pair in pairs]

    def compare(what: str, part: str, other: str, goal: float | None = None) -> Comparison:
        mine, theirs = (
            whole(name) if not part else seconds[f"{name}, {part}"] for name in ("ours", other)
        )
        return Comparison(what, "s", mine, theirs, "speed-up", goal)

    keep(
        "evaluation",
        [
            compare("MUSE's evaluation, against one prompt at a time", "", "in turn", 8),
            compare("MUSE's evaluation, against padded batches", "", "padded", 1.5),
            compare("MUSE's evaluation, against open-unlearning's way", "", "peer", 2),
            compare("of these the texts, against one at a time", "texts", "in turn"),
            compare("of these the texts, against padded batches", "texts", "padded"),
            compare("of these the likelihoods, against one at a time", "likelihoods", "in turn"),
        ],
        BOUND_BY,
        parameters=sum(weight.numel() for weight in model.parameters()),
        prompts=len(outputs),
        distinct_outputs=len(set(outputs)),
        scored_texts=len(texts),
        rows_a_batch=ROWS,
        shots=SHOTS,
        new_tokens={"verbmem": VERBMEM_TOKENS, "knowmem": KNOWMEM_TOKENS},
    )


def _check(outputs: list[list[str]]) -> list[str]:
    """The outputs, which must be the same texts in all ways."""
    assert all(other == outputs[0] for other in outputs), "the ways do not give the same texts"
    return outputs[0]


def _check_near(values: list[Any]) -> None:
    for other in values[1:]:
        for mine, theirs in zip(values[0], other, strict=False):
            difference = (torch.as_tensor(mine) - torch.tensor(theirs)).abs().max()
            assert float(difference) < TOLERANCE, "the ways do not give the same likelihoods"


if __name__ == "__main__":
    main()
