# From an unlearned model to its metrics, and to what the grids leave of its update.


# The model that a user would deploy: in one precision, in the format of its library.
use rule job as quantize with:
    input:
        source=model_of,
        base=base_of,
        corpus=calibration_corpus,
    output:
        output=kept("<results>/quantized/{corpus}/{model}/{precision}"),
    log:
        "<logs>/quantized/{corpus}/{model}/{precision}.log",
    benchmark:
        "<benchmarks>/quantized/{corpus}/{model}/{precision}.tsv"
    priority: READERS
    params:
        **step("quantize", quantize_flags, method),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"


# One load of a quantized model gives its metrics and the items behind them.
use rule job as evaluate with:
    input:
        model="<results>/quantized/{corpus}/{model}/{precision}",
        corpus=questions("test"),
        retrain=retrain_scores,
    output:
        multiext(
            "<results>/eval/{corpus}/{model}/{precision}/",
            *("metrics.json", "verbmem.jsonl", "knowmem_forget.jsonl"),
            *("knowmem_retain.jsonl", "privleak.jsonl", "manifest.json"),
        ),
    log:
        "<logs>/eval/{corpus}/{model}/{precision}.log",
    benchmark:
        "<benchmarks>/eval/{corpus}/{model}/{precision}.tsv"
    priority: READERS
    params:
        **step("evaluate", evaluate_flags, method),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"


# That an audited model was quantized at all: its weights as read back, against those that went in.
use rule job as prove with:
    input:
        model="<results>/quantized/{corpus}/{model}/{precision}",
        source=model_of,
        base=base_of,
    output:
        output="<results>/proof/{corpus}/{model}/{precision}.json",
    log:
        "<logs>/proof/{corpus}/{model}/{precision}.log",
    benchmark:
        "<benchmarks>/proof/{corpus}/{model}/{precision}.tsv"
    priority: READERS
    params:
        **step("prove", lambda wildcards: flags({"precision": wildcards.precision}), method),
    message:
        "Proving that {wildcards.corpus}/{wildcards.model} is in {wildcards.precision}"


# One job per model, which reads the weights once.
use rule job as survival with:
    input:
        target=target_of,
        model=model_of,
        packed=packed_checkpoints,
    output:
        output=directory("<results>/survival/{corpus}/{model}"),
    log:
        "<logs>/survival/{corpus}/{model}.log",
    benchmark:
        "<benchmarks>/survival/{corpus}/{model}.tsv"
    priority: READERS
    params:
        **step(
            "survival",
            lambda wildcards: flags({"precisions": measured_precisions(wildcards)}),
            lambda wildcards: map(module_file, measured_precisions(wildcards)),
        ),
    message:
        "Measuring what the grids leave of {wildcards.corpus}/{wildcards.model}"
