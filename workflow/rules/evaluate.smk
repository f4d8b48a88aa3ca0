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
    wildcard_constraints:
        precision=BY_FOLDER,
    priority: READERS
    conda:
        "../../envs/evaluate.yaml"
    threads: cores("evaluate")
    resources:
        **needs("evaluate"),
    params:
        code=code("evaluate.py"),
        settings=flags(CONFIG["evaluate"]),
        retrain=retrain_flag,
        folder=subpath(output[0], parent=True),
    message:
        "Evaluating {wildcards.corpus}/{wildcards.model} in {wildcards.precision}"
    shell:
        "run evaluate.py --model {input.model:q} --precision {wildcards.precision} "
        "--corpus {input.corpus:q} {params.retrain} {params.settings} "
        "--output {params.folder:q} > {log:q} 2>&1; warn {log:q}"


# All precisions of a model in one job, none of them written: one load and one merge serve them.
# The controls' own grids and spared models take the way by a folder, and so does GPTQ.
if KEEP != "all":

    rule evaluate_in_memory:
        input:
            model=model_of,
            base=merged_into,
            corpus=questions("test"),
            retrain=retrain_scores,
        output:
            expand(
                out("eval/{{corpus}}/{{model}}/{precision}/{file}"),
                precision=IN_MEMORY,
                file=[
                    *("metrics.json", "manifest.json", "privleak.jsonl"),
                    *("verbmem.jsonl", "knowmem_forget.jsonl", "knowmem_retain.jsonl"),
                ],
            ),
        log:
            out("logs/eval/{corpus}/{model}.log"),
        benchmark:
            out("benchmarks/eval/{corpus}/{model}.tsv")
        wildcard_constraints:
            model=WHOLE_MODEL,
        priority: READERS
        conda:
            "../../envs/evaluate.yaml"
        threads: cores("evaluate")
        resources:
            **needs("evaluate", times=len(IN_MEMORY)),
        params:
            code=code("evaluate_in_memory.py"),
            base=as_base,
            precisions=IN_MEMORY,
            settings=flags(CONFIG["evaluate"]),
            retrain=retrain_flag,
            folder=subpath(output[0], ancestor=2),
        message:
            "Evaluating {wildcards.corpus}/{wildcards.model} in {params.precisions}"
        shell:
            "run evaluate_in_memory.py --source {input.model:q} {params.base} "
            "--precisions {params.precisions:q} --corpus {input.corpus:q} {params.retrain} "
            "{params.settings} --output {params.folder:q} > {log:q} 2>&1; warn {log:q}"

    # No ruleorder: a cluster's job knows its own rule alone, and would take it for the one that makes
    # retrain's scores too.
    use rule evaluate as evaluate_spared with:
        wildcard_constraints:
            model=SPARED_MODEL,
            precision="|".join(IN_MEMORY),
