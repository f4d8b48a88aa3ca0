# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        target=lambda wildcards: checkpoint_of("target").format(corpus=wildcards.corpus),
    output:
        directory(out("quantized/{corpus}/{model}/{precision}"))
        if CONFIG["keep_quantized"]
        else temp(directory(out("quantized/{corpus}/{model}/{precision}"))),
    log:
        out("logs/quantized/{corpus}/{model}/{precision}.log"),
    benchmark:
        out("benchmarks/quantized/{corpus}/{model}/{precision}.tsv")
    conda:
        "../../envs/quantize.yaml"
    threads: asks("quantize", "threads")
    resources:
        mem_mb=asks("quantize", "mem_mb"),
        runtime=asks("quantize", "runtime"),
        gpu=asks("quantize", "gpu"),
    params:
        code=code("quantize.py"),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize.py --source {input.model:q} --base {input.target:q} "
        "--precision {wildcards.precision} --output {output} > {log} 2>&1"
