# One load of a quantized model gives its four metrics and the items behind them.
def retrain_scores(wildcards):
    """The reference of PrivLeak; retrain itself, in the reference's precision, is its own."""
    if (wildcards.model, wildcards.precision) == ("retrain", REFERENCE_PRECISION):
        return []
    reference = {"corpus": wildcards.corpus, "model": "retrain", "precision": REFERENCE_PRECISION}
    return EVALUATED.format(**reference) + "/privleak.jsonl"


rule evaluate:
    input:
        model=QUANTIZED,
        corpus=DATA,
        retrain=retrain_scores,
    output:
        EVALUATED + "/metrics.json",
        EVALUATED + "/verbmem.jsonl",
        EVALUATED + "/knowmem_forget.jsonl",
        EVALUATED + "/knowmem_retain.jsonl",
        EVALUATED + "/privleak.jsonl",
        EVALUATED + "/manifest.json",
    params:
        script=script("evaluate.py"),
        code=code("evaluate.py"),
        settings=flags(CONFIG["evaluate"]),
        retrain=lambda wildcards, input: f"--retrain {input.retrain}" if input.retrain else "",
        folder=EVALUATED,
    log:
        LOGS + "/eval/{corpus}/{model}/{precision}.log",
    benchmark:
        BENCHMARKS + "/eval/{corpus}/{model}/{precision}.tsv"
    conda:
        "../../envs/evaluate.yaml"
    threads: asks("evaluate", "threads")
    resources:
        mem_mb=asks("evaluate", "mem_mb"),
        runtime=asks("evaluate", "runtime"),
        gpu=asks("evaluate", "gpu"),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"
    shell:
        "{PYTHON} {params.script} --model {input.model} --precision {wildcards.precision} "
        "--corpus {input.corpus} {params.retrain} {params.settings} "
        "--output {params.folder} > {log} 2>&1"
