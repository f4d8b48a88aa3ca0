# The three models that unlearning is measured against: base, target and retrain.
rule train_base:
    input:
        corpus=out("data/{corpus}"),
    output:
        directory(out("models/{corpus}/base")),
    log:
        out("logs/models/{corpus}/base.log"),
    benchmark:
        out("benchmarks/models/{corpus}/base.tsv")
    conda:
        "../../envs/train.yaml"
    threads: asks("train", "threads")
    resources:
        mem_mb=asks("train", "mem_mb"),
        runtime=asks("train", "runtime"),
        gpu=asks("train", "gpu"),
    params:
        code=code("train_base.py"),
        architecture=flags(CONFIG["models"]["architecture"]),
        training=flags(CONFIG["train"]["base"]),
        checkpoints=out("checkpoints"),
    message:
        "Training the base of {wildcards.corpus} from scratch"
    shell:
        "run train_base.py --corpus {input.corpus} {params.architecture} {params.training} "
        "--checkpoints {params.checkpoints} --output {output} > {log} 2>&1"


rule finetune:
    input:
        base=checkpoint_of("base"),
        corpus=out("data/{corpus}"),
    output:
        directory(out("models/{corpus}/{name}")),
    log:
        out("logs/models/{corpus}/{name}.log"),
    benchmark:
        out("benchmarks/models/{corpus}/{name}.tsv")
    wildcard_constraints:
        name="target|retrain",
    conda:
        "../../envs/train.yaml"
    threads: asks("train", "threads")
    resources:
        mem_mb=asks("train", "mem_mb"),
        runtime=asks("train", "runtime"),
        gpu=asks("train", "gpu"),
    params:
        code=code("finetune.py"),
        training=lambda wildcards: flags(CONFIG["train"][wildcards.name]),
        splits=lambda wildcards: {
            "target": "forget retain1 retain2",
            "retrain": "retain1 retain2",
        }[wildcards.name],
        checkpoints=out("checkpoints"),
    message:
        "Training {wildcards.name} of {wildcards.corpus} on {params.splits}"
    shell:
        "run finetune.py --base {input.base:q} --corpus {input.corpus} "
        "--splits {params.splits} {params.training} "
        "--checkpoints {params.checkpoints} --output {output} > {log} 2>&1"
