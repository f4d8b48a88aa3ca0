# The three models that unlearning is measured against: base, target and retrain.
if FETCHED:

    if "model" in sources.repositories(CONFIG).values():

        # Nodes of a cluster often have no way to the hub.
        localrules:
            fetch_model,

    rule fetch_model:
        input:
            source=lambda wildcards: files_of(FETCHED[wildcards.given]),
            tokenizer=lambda wildcards: files_of(tokenizer_for(wildcards.given)),
        output:
            directory(out("models/{given}")),
        log:
            out("logs/models/{given}.log"),
        benchmark:
            out("benchmarks/models/{given}.tsv")
        wildcard_constraints:
            given="|".join(FETCHED),
        conda:
            "../../envs/train.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("fetch_model.py"),
            source=lambda wildcards: as_source("source", FETCHED[wildcards.given]),
            tokenizer=lambda wildcards: as_source(
                "tokenizer", tokenizer_for(wildcards.given)
            ),
        message:
            "Fetching {wildcards.given}"
        shell:
            "fetch fetch_model.py {params.source} {params.tokenizer} "
            "--output {output:q} > {log:q} 2>&1"

    ruleorder: fetch_model > finetune > train_base


rule train_base:
    input:
        corpus=out("data/{corpus}"),
    output:
        directory(out(f"models/{{corpus}}/{own('base')}")),
    log:
        out(f"logs/models/{{corpus}}/{own('base')}.log"),
    benchmark:
        out(f"benchmarks/models/{{corpus}}/{own('base')}.tsv")
    conda:
        "../../envs/train.yaml"
    threads: cores("train")
    resources:
        **needs("train"),
    params:
        code=code("train_base.py"),
        architecture=flags(CONFIG["models"]["architecture"]),
        training=flags(CONFIG["train"]["base"]),
        seed=lambda wildcards: int(wildcards.get("seed", 0)),
    message:
        "Training the base of {wildcards.corpus} from scratch"
    shell:
        "run train_base.py --corpus {input.corpus:q} {params.architecture} {params.training} "
        "--seed {params.seed:q} "
        '--checkpoints "$CHECKPOINTS" --output {output:q} > {log:q} 2>&1'


rule finetune:
    input:
        base=checkpoint_of("base"),
        corpus=out("data/{corpus}"),
    output:
        directory(out(f"models/{{corpus}}/{own('{name}')}")),
    log:
        out(f"logs/models/{{corpus}}/{own('{name}')}.log"),
    benchmark:
        out(f"benchmarks/models/{{corpus}}/{own('{name}')}.tsv")
    wildcard_constraints:
        name="target|retrain",
    conda:
        "../../envs/train.yaml"
    threads: cores("train")
    resources:
        **needs("train"),
    params:
        code=code("finetune.py"),
        training=lambda wildcards: flags(CONFIG["train"][wildcards.name]),
        seed=lambda wildcards: int(wildcards.get("seed", 0)),
        splits=lambda wildcards: {
            "target": "forget retain1 retain2",
            "retrain": "retain1 retain2",
        }[wildcards.name],
    message:
        "Training {wildcards.name} of {wildcards.corpus} on {params.splits}"
    shell:
        "run finetune.py --base {input.base:q} --corpus {input.corpus:q} "
        "--splits {params.splits} {params.training} --seed {params.seed:q} "
        '--checkpoints "$CHECKPOINTS" --output {output:q} > {log:q} 2>&1'
