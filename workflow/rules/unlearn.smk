# One objective, one variant of the update, one seed.
rule unlearn:
    input:
        target=checkpoint_of("target"),
        corpus=out("data/{corpus}"),
    output:
        directory(out("unlearned/{corpus}/{objective}/{adapter}/seed{seed}")),
    log:
        out("logs/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.log"),
    benchmark:
        out("benchmarks/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.tsv")
    priority: 1  # long jobs first: the many short ones after them fill all cores
    conda:
        "../../envs/train.yaml"
    threads: asks("unlearn", "threads")
    resources:
        mem_mb=asks("unlearn", "mem_mb"),
        runtime=asks("unlearn", "runtime"),
        gpu=asks("unlearn", "gpu"),
    params:
        code=code("unlearn.py"),
        settings=lambda wildcards: flags(
            configuration.unlearn_settings(
                CONFIG, wildcards.corpus, wildcards.objective, wildcards.adapter
            )
        ),
        checkpoints=out("checkpoints"),
    message:
        "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}"
    shell:
        "run unlearn.py --target {input.target:q} --corpus {input.corpus} "
        "--objective {wildcards.objective} --adapter {wildcards.adapter} --seed {wildcards.seed} "
        "{params.settings} --checkpoints {params.checkpoints} --output {output} > {log} 2>&1"
