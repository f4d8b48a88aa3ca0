# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        base=merged_into,
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
        base=lambda wildcards, input: (
            f"--base {shlex.quote(str(input.base))}" if input.base else ""
        ),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize.py --source {input.model:q} {params.base} "
        "--precision {wildcards.precision} --output {output} > {log} 2>&1"
