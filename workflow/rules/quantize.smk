# What a user would deploy: a model in a precision, in the format of its own library.
rule quantize:
    input:
        model=model_of,
        base=merged_into,
    output:
        kept(directory(out("quantized/{corpus}/{model}/{precision}"))),
    log:
        out("logs/quantized/{corpus}/{model}/{precision}.log"),
    benchmark:
        out("benchmarks/quantized/{corpus}/{model}/{precision}.tsv")
    wildcard_constraints:
        model=WHOLE_MODEL,
        precision=r"(?!gptq)[a-z0-9]+",
    priority: READERS
    conda:
        "../../envs/quantize.yaml"
    threads: cores("quantize")
    resources:
        **needs("quantize"),
    params:
        code=code("quantize.py"),
        base=as_base,
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize.py --source {input.model:q} {params.base} "
        "--precision {wildcards.precision} --output {output:q} > {log:q} 2>&1"


# GPTQ looks at text that is to be kept while it rounds: a sample of the corpus, by its seed.
rule quantize_gptq:
    input:
        model=model_of,
        base=merged_into,
        corpus=out("data/{corpus}"),
    output:
        kept(directory(out("quantized/{corpus}/{model}/{precision}"))),
    log:
        out("logs/quantized/{corpus}/{model}/{precision}.log"),
    benchmark:
        out("benchmarks/quantized/{corpus}/{model}/{precision}.tsv")
    wildcard_constraints:
        model=WHOLE_MODEL,
        precision=r"gptq[a-z0-9]+",
    priority: READERS
    conda:
        GPTQ_ENVIRONMENT
    threads: cores("gptq")
    resources:
        **needs("gptq"),
    params:
        code=code("quantize_gptq.py"),
        base=as_base,
        backend=CONFIG["quantization"]["gptq_backend"],
        calibration=flags(CONFIG["quantization"]["calibration"]),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.model} to {wildcards.precision}"
    shell:
        "run quantize_gptq.py --source {input.model:q} {params.base} "
        "--precision {wildcards.precision} --corpus {input.corpus:q} --backend {params.backend:q} "
        "{params.calibration} --output {output:q} > {log:q} 2>&1"
