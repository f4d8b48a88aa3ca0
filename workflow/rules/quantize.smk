# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        base=merged_into,
        corpus=calibration_texts,
    output:
        kept(directory(out("quantized/{corpus}/{model}/{precision}"))),
    log:
        out("logs/quantized/{corpus}/{model}/{precision}.log"),
    benchmark:
        out("benchmarks/quantized/{corpus}/{model}/{precision}.tsv")
    wildcard_constraints:
        model=WHOLE_MODEL,
    priority: READERS
    conda:
        quantizing_environment
    threads: cores(quantizing)
    resources:
        **needs(quantizing),
    params:
        code=lambda wildcards: code("quantize.py", wildcards.precision),
        base=as_base,
        calibration=calibration_flags,
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize.py --source {input.model:q} {params.base} --precision {wildcards.precision} "
        "{params.calibration} --output {output:q} > {log:q} 2>&1"
