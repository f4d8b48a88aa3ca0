# The three models that unlearning is measured against: base, target and retrain.
rule train_base:
    input:
        corpus=DATA,
    output:
        directory(RESULTS + "/models/{corpus}/base"),
    params:
        script=script("train_base.py"),
        code=code("train_base.py"),
        architecture=flags(CONFIG["models"]["architecture"]),
        training=flags(CONFIG["train"]["base"]),
        checkpoints=CHECKPOINTS,
    log:
        LOGS + "/models/{corpus}/base.log",
    benchmark:
        BENCHMARKS + "/models/{corpus}/base.tsv"
    conda:
        "../../envs/train.yaml"
    threads: asks("train", "threads")
    resources:
        mem_mb=asks("train", "mem_mb"),
        runtime=asks("train", "runtime"),
        gpu=asks("train", "gpu"),
    message:
        "Training the base of {wildcards.corpus} from scratch"
    shell:
        "{PYTHON} {params.script} --corpus {input.corpus} {params.architecture} {params.training} "
        "--checkpoints {params.checkpoints} --output {output} > {log} 2>&1"


rule finetune:
    input:
        base=checkpoint_of("base"),
        corpus=DATA,
    output:
        directory(RESULTS + "/models/{corpus}/{name}"),
    params:
        script=script("finetune.py"),
        code=code("finetune.py"),
        training=lambda wildcards: flags(CONFIG["train"][wildcards.name]),
        splits=lambda wildcards: {
            "target": "forget retain1 retain2",
            "retrain": "retain1 retain2",
        }[wildcards.name],
        checkpoints=CHECKPOINTS,
    wildcard_constraints:
        name="target|retrain",
    log:
        LOGS + "/models/{corpus}/{name}.log",
    benchmark:
        BENCHMARKS + "/models/{corpus}/{name}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: asks("train", "threads")
    resources:
        mem_mb=asks("train", "mem_mb"),
        runtime=asks("train", "runtime"),
        gpu=asks("train", "gpu"),
    message:
        "Training {wildcards.name} of {wildcards.corpus} on {params.splits}"
    shell:
        "{PYTHON} {params.script} --base {input.base:q} --corpus {input.corpus} "
        "--splits {params.splits} {params.training} "
        "--checkpoints {params.checkpoints} --output {output} > {log} 2>&1"
