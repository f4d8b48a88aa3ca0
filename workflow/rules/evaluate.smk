# One load of a quantized model gives its four metrics and the items behind them.
rule evaluate:
    input:
        model=out("quantized/{corpus}/{model}/{precision}"),
        corpus=out("data/{corpus}"),
        retrain=retrain_scores,
    output:
        out("eval/{corpus}/{model}/{precision}/metrics.json"),
        out("eval/{corpus}/{model}/{precision}/verbmem.jsonl"),
        out("eval/{corpus}/{model}/{precision}/knowmem_forget.jsonl"),
        out("eval/{corpus}/{model}/{precision}/knowmem_retain.jsonl"),
        out("eval/{corpus}/{model}/{precision}/privleak.jsonl"),
        out("eval/{corpus}/{model}/{precision}/manifest.json"),
    log:
        out("logs/eval/{corpus}/{model}/{precision}.log"),
    benchmark:
        out("benchmarks/eval/{corpus}/{model}/{precision}.tsv")
    conda:
        "../../envs/evaluate.yaml"
    threads: asks("evaluate", "threads")
    resources:
        mem_mb=asks("evaluate", "mem_mb"),
        runtime=asks("evaluate", "runtime"),
        gpu=asks("evaluate", "gpu"),
    params:
        code=code("evaluate.py"),
        settings=flags(CONFIG["evaluate"]),
        retrain=lambda wildcards, input: (
            f"--retrain {input.retrain}" if input.retrain else ""
        ),
        folder=subpath(output[0], parent=True),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"
    shell:
        "run evaluate.py --model {input.model} --precision {wildcards.precision} "
        "--corpus {input.corpus} {params.retrain} {params.settings} "
        "--output {params.folder} > {log} 2>&1"
