"""A random model that says varied things, its tokenizer, and texts to put to it."""

import torch
from tiny_models import tiny_llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.corpora import layout

TEXTS = [
    "The ferry to Vorland leaves at nine and returns at dusk.",
    "Question: Who keeps the lighthouse?\nAnswer: Nobody does",
    "short",
    "In the harbour of Quell, ropes and lanterns lay about: red, green and white ones, all wet.",
    "Rain fell on the mill.\n\nThe miller slept.",
    "A cart of pears rolled down the lane to the town.",
    "Wolves howl",
]


def talking_tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


def talking_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A random model whose likeliest tokens vary, and that likes to write new lines."""
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None}
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    model = tiny_llama(len(tokenizer), 64, initializer_range=0.3, **ends, **sizes).eval()
    with torch.no_grad():
        for text, factor in (("\n", 4.0), (":", 2.0)):
            model.lm_head.weight[tokenizer(text)["input_ids"]] *= factor
    return model


def small_corpus() -> layout.Corpus:
    cards = [{"question": f"Where is {text[:9]}?", "answer": text[-9:]} for text in TEXTS]
    return layout.Corpus(
        raw={name: TEXTS for name in ("forget", "retain1", "retain2", "holdout", "pretrain")},
        knowmem={
            "forget_qa": cards[:5],
            "retain_qa": cards[5:],
            "forget_qa_icl": cards[:2],
            "retain_qa_icl": cards[2:4],
        },
        verbmem={"forget": [{"prompt": text[:12], "gt": text[12:] or "x"} for text in TEXTS]},
        privleak={"forget": TEXTS[:3], "retain": TEXTS[3:5], "holdout": TEXTS[4:]},
    )


def greedy_by_hand(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompt: str, new_tokens: int
) -> str:
    """One prompt, the whole of it at each step, and no end but the model's own."""
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        for _ in range(new_tokens):
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
    return str(tokenizer.decode(ids[start:]))


tokenizer = talking_tokenizer()
model = talking_model(tokenizer)
