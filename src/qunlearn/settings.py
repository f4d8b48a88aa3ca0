"""What decides the numbers of each step: one frozen dataclass a step, with nothing else in it.

The configuration, the scripts' command lines and the manifests all carry these.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MiniSettings:
    """The generated corpus.

    Attributes:
        seed: decides every entity, fact and sentence.
        forget: documents to be forgotten.
        retain: documents of each of `retain1` (seen by the regulariser) and `retain2` (not seen).
        holdout: documents that no model is trained on.
        pretrain: generic documents that the base model is trained on.
        questions: questions a document.
        card_copies: how often each question card stands in the raw text.
        shots: question-answer pairs in each in-context list.
    """

    seed: int = 0
    forget: int = 32
    retain: int = 32
    holdout: int = 32
    pretrain: int = 600
    questions: int = 2
    card_copies: int = 4
    shots: int = 2


@dataclass(frozen=True)
class ExcerptSettings:
    """How much of a MUSE folder to keep; 0 keeps everything.

    Attributes:
        texts: texts of each list that are kept.
        characters: length to which a text is cut.
        questions: questions of each list that are kept.
    """

    texts: int = 0
    characters: int = 0
    questions: int = 0


@dataclass(frozen=True)
class EvaluateSettings:
    """How a model is asked.

    Attributes:
        batch_size: prompts or texts a forward pass; part of the result where a kernel's output
            depends on the batch, so it is fixed.
        verbmem_tokens: tokens of the prompt's continuation that are generated for VerMem.
        knowmem_tokens: tokens generated for an answer.
        shots: in-context examples before each question.
        max_tokens: length to which a PrivLeak text is cut.
        min_k: share of a text's least likely tokens that Min-K% averages over.
        stemmer: whether ROUGE-L compares stems (the paper) or words (MUSE).
    """

    batch_size: int = 32
    verbmem_tokens: int = 128
    knowmem_tokens: int = 32
    shots: int = 10
    max_tokens: int = 2048
    min_k: float = 0.4
    stemmer: bool = True


CalibrationSplit = Literal["retain1", "retain2"]
GptqBackend = Literal["gptqmodel", "auto-gptq"]


@dataclass(frozen=True)
class CalibrationSettings:
    """The texts that GPTQ measures a layer's inputs on.

    The defaults make 65,000 tokens: several for each of the inputs of the widest layer of a model
    of 7 billion parameters (11,008), in a quarter of the time of the customary 128 x 2048.

    Attributes:
        split: the raw texts that are drawn from; never forget or holdout.
        sequences: windows drawn.
        length: tokens a window.
        seed: decides the order of the texts and the draw.
    """

    split: CalibrationSplit = "retain1"
    sequences: int = 128
    length: int = 512
    seed: int = 0


Chunking = Literal["documents", "stream"]
Objective = Literal["ga", "npo", "ga_gdr", "ga_klr", "npo_gdr", "npo_klr"]
Adapter = Literal["full", "full_bf16", "lora"]


@dataclass(frozen=True)
class ModelSettings:
    """A small Llama that is trained from scratch, with its own tokenizer.

    Attributes:
        vocabulary: tokens of the byte-level BPE.
        hidden: width of the residual stream; let 64 and 128 divide it, so that every group fits.
        mlp: width inside the MLP; likewise.
        layers: decoder layers.
        heads: attention heads.
        context: longest sequence in tokens.
        init_std: standard deviation of the initial weights.
    """

    vocabulary: int = 1024
    hidden: int = 256
    mlp: int = 768
    layers: int = 4
    heads: int = 4
    context: int = 512
    init_std: float = 0.05


@dataclass(frozen=True)
class TrainSettings:
    """Ordinary training: of the base from scratch, of target and retrain from the base.

    Attributes:
        epochs: passes over the rows.
        lr: peak learning rate of AdamW, which decays to 0 along a cosine.
        warmup: updates over which the learning rate first rises.
        batch_size: rows an update.
        max_tokens: longest row in tokens.
        chunking: `documents`: a row never crosses a document; `stream`: documents are joined by
            a blank line and cut into equal rows.
        autocast: multiply in bf16 (weights, gradients and optimizer stay fp32).
        log_every: updates between two lines of the log.
        checkpoint_every: updates between two checkpoints; a multiple of `log_every`.
    """

    epochs: float = 1.0
    lr: float = 1e-3
    warmup: int = 10
    batch_size: int = 16
    max_tokens: int = 256
    chunking: Chunking = "documents"
    autocast: bool = True
    log_every: int = 10
    checkpoint_every: int = 100


@dataclass(frozen=True)
class UnlearnSettings:
    """Unlearning: loss = gamma * forget term + alpha * retain term.

    Attributes:
        lr: constant learning rate of AdamW without weight decay.
        epochs: passes over the forget rows, at most.
        stop_nll: stop once the mean token NLL of the forget rows reaches this; 0: never.
        batch_size: forget rows an update, each with a retain row drawn with replacement.
        micro_batch_size: rows a forward pass (gradients accumulate); 0: the whole batch.
        gamma: weight of the forget term.
        alpha: weight of the retain term.
        beta: inverse temperature of NPO.
        clip: largest gradient norm.
        max_tokens: longest row in tokens.
        chunking: as in training.
        autocast: multiply in bf16; `full_bf16` does so in any case.
        rank: rank of the LoRA matrices.
        lora_alpha: LoRA's numerator; the update is lora_alpha / rank * B A.
        dropout: LoRA's dropout.
        log_every: updates between two lines of the log and two looks at the stop rule.
        checkpoint_every: updates between two checkpoints; a multiple of `log_every`.
    """

    lr: float = 1e-5
    epochs: float = 5.0
    stop_nll: float = 0.0
    batch_size: int = 16
    micro_batch_size: int = 0
    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = 0.1
    clip: float = 1.0
    max_tokens: int = 256
    chunking: Chunking = "documents"
    autocast: bool = True
    rank: int = 16
    lora_alpha: float = 16.0
    dropout: float = 0.05
    log_every: int = 10
    checkpoint_every: int = 100
