# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        target=lambda wildcards: checkpoint_of("target").format(corpus=wildcards.corpus),
    output:
        directory(QUANTIZED) if CONFIG["keep_quantized"] else temp(directory(QUANTIZED)),
    params:
        script=script("quantize.py"),
        code=code("quantize.py"),
    log:
        LOGS + "/quantized/{corpus}/{model}/{precision}.log",
    benchmark:
        BENCHMARKS + "/quantized/{corpus}/{model}/{precision}.tsv"
    conda:
        "../../envs/quantize.yaml"
    threads: asks("quantize", "threads")
    resources:
        mem_mb=asks("quantize", "mem_mb"),
        runtime=asks("quantize", "runtime"),
        gpu=asks("quantize", "gpu"),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "{PYTHON} {params.script} --source {input.model:q} --base {input.target:q} "
        "--precision {wildcards.precision} --output {output} > {log} 2>&1"
