# From an unlearned model to its metrics, and to what the grids leave of its update.
# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        base=base_of,
        corpus=lambda wildcards: (
            "<results>/data/{corpus}" if method_of(wildcards.precision).calibrated else []
        ),
    output:
        kept(directory("<results>/quantized/{corpus}/{model}/{precision}")),
    log:
        "<logs>/quantized/{corpus}/{model}/{precision}.log",
    benchmark:
        "<benchmarks>/quantized/{corpus}/{model}/{precision}.tsv"
    wildcard_constraints:
        model=WHOLE_MODEL,
    priority: READERS
    conda:
        lambda wildcards: f"../../envs/{method_of(wildcards.precision).environment}.yaml"
    threads: cores(quantizing)
    resources:
        **needs(quantizing),
    params:
        code=lambda wildcards: code("quantize.py", wildcards.precision),
        base=flag_of("base"),
        more=calibration_flags,
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize.py --source {input.model:q} {params.base} --precision {wildcards.precision} "
        "{params.more} --output {output:q} > {log:q} 2>&1"


# One load of a quantized model gives its four metrics and the items behind them.
rule evaluate:
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
    conda:
        "../../envs/evaluate.yaml"
    threads: cores("evaluate")
    resources:
        **needs("evaluate"),
    params:
        code=lambda wildcards: code("evaluate.py", wildcards.precision),
        settings=flags(CONFIG["evaluate"]),
        retrain=flag_of("retrain"),
        folder=subpath(output[0], parent=True),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"
    shell:
        "run evaluate.py --model {input.model:q} --precision {wildcards.precision} "
        "--corpus {input.corpus:q} {params.retrain} {params.settings} "
        "--output {params.folder:q} > {log:q} 2>&1; warn {log:q}"


# One job a model: it reads the weights once.
rule survival:
    input:
        target=target_of,
        model=model_of,
        packed=packed_checkpoints,
    output:
        directory("<results>/survival/{corpus}/{model}"),
    log:
        "<logs>/survival/{corpus}/{model}.log",
    benchmark:
        "<benchmarks>/survival/{corpus}/{model}.tsv"
    priority: READERS
    conda:
        "../../envs/quantize.yaml"
    threads: cores("survival")
    resources:
        **needs("survival"),
    params:
        code=lambda wildcards: code("measure_survival.py", *measured_precisions(wildcards)),
        precisions=measured_precisions,
    message:
        "Measuring what the grids leave of {wildcards.corpus}/{wildcards.model}"
    shell:
        "run measure_survival.py --target {input.target:q} --model {input.model:q} "
        "--precisions {params.precisions:q} --packed {input.packed:q} --output {output:q} "
        "> {log:q} 2>&1"
