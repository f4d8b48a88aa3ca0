# One load of a quantized model gives its four metrics and the items behind them.
rule evaluate:
    input:
        model=out("quantized/{corpus}/{model}/{precision}"),
        corpus=questions("test"),
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
    priority: READERS
    conda:
        "../../envs/evaluate.yaml"
    threads: cores("evaluate")
    resources:
        **needs("evaluate"),
    params:
        code=lambda wildcards: code("evaluate.py", wildcards.precision),
        settings=flags(CONFIG["evaluate"]),
        retrain=retrain_flag,
        folder=subpath(output[0], parent=True),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"
    shell:
        "run evaluate.py --model {input.model:q} --precision {wildcards.precision} "
        "--corpus {input.corpus:q} {params.retrain} {params.settings} "
        "--output {params.folder:q} > {log:q} 2>&1; warn {log:q}"
