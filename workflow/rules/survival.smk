# What each grid leaves of an update, matrix by matrix. One job a model: it reads the weights once.
rule survival:
    input:
        target=target_of,
        model=model_of,
        packed=packed_checkpoints,
    output:
        directory(out("survival/{corpus}/{model}")),
    log:
        out("logs/survival/{corpus}/{model}.log"),
    benchmark:
        out("benchmarks/survival/{corpus}/{model}.tsv")
    priority: READERS
    conda:
        "../../envs/quantize.yaml"
    threads: cores("survival")
    resources:
        **needs("survival"),
    params:
        code=lambda wildcards: code(
            "measure_survival.py", *measured_precisions(wildcards)
        ),
        precisions=measured_precisions,
        quantized=lambda wildcards: out(f"quantized/{wildcards.corpus}"),
        target=lambda wildcards: reference_id("target", wildcards.model),
    message:
        "Measuring what the grids leave of {wildcards.corpus}/{wildcards.model}"
    shell:
        "run measure_survival.py --target {input.target:q} --model {input.model:q} "
        "--precisions {params.precisions:q} --quantized {params.quantized:q} "
        "--target-id {params.target:q} --model-id {wildcards.model} --output {output:q} "
        "> {log:q} 2>&1"
