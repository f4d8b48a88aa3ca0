# Models that tell the size of an update from its rank and from its place; only if asked for.
rule scale_lora:
    input:
        out("unlearned/{corpus}/{objective}/lora/seed{seed}"),
    output:
        kept(
            directory(
                out("unlearned/{corpus}/{objective}/lora_scaled{factor}/seed{seed}")
            ),
        ),
    log:
        out("logs/unlearned/{corpus}/{objective}/lora_scaled{factor}/seed{seed}.log"),
    benchmark:
        out(
            "benchmarks/unlearned/{corpus}/{objective}/lora_scaled{factor}/seed{seed}.tsv"
        )
    conda:
        "../../envs/train.yaml"
    threads: cores("survival")
    resources:
        **needs("survival"),
    params:
        code=code("scale_lora.py"),
    message:
        "Scaling LoRA's update by {wildcards.factor}: {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run scale_lora.py --adapter {input:q} --factor {wildcards.factor} --output {output:q} "
        "> {log:q} 2>&1"


rule match_lora:
    input:
        target=checkpoint_of("target"),
        lora=out("unlearned/{corpus}/{objective}/lora/seed{seed}"),
        full=out("unlearned/{corpus}/{objective}/full/seed{seed}"),
    output:
        kept(
            directory(out("unlearned/{corpus}/{objective}/lora_matched/seed{seed}")),
        ),
    log:
        out("logs/unlearned/{corpus}/{objective}/lora_matched/seed{seed}.log"),
    benchmark:
        out("benchmarks/unlearned/{corpus}/{objective}/lora_matched/seed{seed}.tsv")
    conda:
        "../../envs/train.yaml"
    threads: cores("survival")
    resources:
        **needs("survival"),
    params:
        code=code("match_lora.py"),
    message:
        "Scaling LoRA's update to the norm of full's: {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run match_lora.py --target {input.target:q} --adapter {input.lora:q} "
        "--like {input.full:q} --output {output:q} > {log:q} 2>&1"


rule match_norm:
    input:
        target=checkpoint_of("target"),
        corpus=out("data/{corpus}"),
        lora=out("unlearned/{corpus}/{objective}/lora/seed{seed}"),
        full=out("unlearned/{corpus}/{objective}/full/seed{seed}"),
    output:
        kept(directory(out("unlearned/{corpus}/{objective}/full_matched/seed{seed}"))),
    log:
        out("logs/unlearned/{corpus}/{objective}/full_matched/seed{seed}.log"),
    benchmark:
        out("benchmarks/unlearned/{corpus}/{objective}/full_matched/seed{seed}.tsv")
    conda:
        "../../envs/train.yaml"
    threads: cores("unlearn")
    resources:
        **needs("unlearn", times=CONFIG["control_settings"]["search_runs"]),
    params:
        code=lambda wildcards: code("match_norm.py", objective=wildcards.objective),
        settings=lambda wildcards: flags(
            configuration.unlearn_settings(
                CONFIG, wildcards.corpus, wildcards.objective, "full"
            )
        ),
        tolerance=CONFIG["control_settings"]["tolerance"],
        search_runs=CONFIG["control_settings"]["search_runs"],
    message:
        "Looking for the learning rate that brings full's norm to LoRA's: {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run match_norm.py --target {input.target:q} --corpus {input.corpus:q} "
        "--objective {wildcards.objective} --start {input.full:q} --like {input.lora:q} "
        "--seed {wildcards.seed} {params.settings} --tolerance {params.tolerance:q} "
        '--search-runs {params.search_runs:q} --checkpoints "$CHECKPOINTS" '
        "--output {output:q} > {log:q} 2>&1"


rule quantize_spared:
    input:
        target=checkpoint_of("target"),
        source=out("unlearned/{corpus}/{objective}/full_bf16/seed{seed}"),
    output:
        kept(
            directory(
                out(
                    "quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}"
                )
            )
        ),
    log:
        out(
            "logs/quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}.log"
        ),
    benchmark:
        out(
            "benchmarks/quantized/{corpus}/{objective}/spare_{choice}/seed{seed}/{precision}.tsv"
        )
    priority: READERS
    conda:
        "../../envs/quantize.yaml"
    threads: cores("quantize")
    resources:
        **needs("quantize"),
    params:
        code=lambda wildcards: code("quantize_spared.py", wildcards.precision),
    message:
        "Quantizing {wildcards.corpus}/{wildcards.objective}/full_bf16 to {wildcards.precision}, sparing {wildcards.choice}"
    shell:
        "run quantize_spared.py --target {input.target:q} --source {input.source:q} "
        "--choice {wildcards.choice} --precision {wildcards.precision} --seed {wildcards.seed} "
        "--output {output:q} > {log:q} 2>&1"
