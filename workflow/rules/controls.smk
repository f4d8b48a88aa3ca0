# Models that tell the size of an update from its rank and from its place; only if asked for.
rule scale_lora:
    input:
        target=target_of,
        like="<results>/unlearned/{corpus}/{objective}/full/seed{seed}",
        adapter="<results>/unlearned/{corpus}/{objective}/lora/seed{seed}",
    output:
        kept(directory("<results>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}")),
    log:
        "<logs>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: cores("survival")
    resources:
        **needs("survival"),
    params:
        code=code("scale_lora.py"),
    message:
        "Scaling LoRA's update ({wildcards.size}): {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run scale_lora.py --size {wildcards.size} --adapter {input.adapter:q} "
        "--target {input.target:q} --like {input.like:q} --output {output:q} > {log:q} 2>&1"


rule match_norm:
    input:
        target=target_of,
        corpus="<results>/data/{corpus}",
        lora="<results>/unlearned/{corpus}/{objective}/lora/seed{seed}",
        full="<results>/unlearned/{corpus}/{objective}/full/seed{seed}",
    output:
        kept(directory("<results>/unlearned/{corpus}/{objective}/full_matched/seed{seed}")),
    log:
        "<logs>/unlearned/{corpus}/{objective}/full_matched/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/full_matched/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: cores("unlearn")
    resources:
        **needs("unlearn", times=CONFIG["control_settings"]["search_runs"]),
    params:
        code=lambda wildcards: code("match_norm.py", objective=wildcards.objective),
        settings=unlearn_flags,
        tolerance=CONFIG["control_settings"]["tolerance"],
        search_runs=CONFIG["control_settings"]["search_runs"],
    message:
        "Searching for the learning rate at which full's norm is LoRA's: {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run match_norm.py --target {input.target:q} --corpus {input.corpus:q} "
        "--objective {wildcards.objective} --start {input.full:q} --like {input.lora:q} "
        "--seed {wildcards.seed} {params.settings} --tolerance {params.tolerance:q} "
        '--search-runs {params.search_runs:q} --checkpoints "$RESULTS/checkpoints" '
        "--output {output:q} > {log:q} 2>&1"


use rule quantize as quantize_spared with:
    input:
        model="<results>/unlearned/{corpus}/{objective}/full_bf16/seed{seed}",
        base=target_of,
        corpus=[],
    output:
        kept(
            directory(
                "<results>/quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}"
            )
        ),
    log:
        "<logs>/quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}.log",
    benchmark:
        "<benchmarks>/quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}.tsv"
    params:
        code=lambda wildcards: code("quantize.py", wildcards.precision, by_name="quantize/spare"),
        more=lambda wildcards: f"--spare {wildcards.choice} --seed {wildcards.seed}",
    message:
        "Quantizing {wildcards.corpus}/{wildcards.objective}/full_bf16 to {wildcards.precision}, sparing {wildcards.choice}"
