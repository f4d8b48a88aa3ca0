# Models that separate an update's size from its rank and its place; made with `controls: true`.
use rule job as scale_lora with:
    input:
        target=target_of,
        like="<results>/unlearned/{corpus}/{objective}/full/seed{seed}",
        adapter="<results>/unlearned/{corpus}/{objective}/lora/seed{seed}",
    output:
        output=kept("<results>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}"),
    log:
        "<logs>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/lora_{size}/seed{seed}.tsv"
    params:
        **step("scale_lora", lambda wildcards: flags({"size": wildcards.size})),
    message:
        "Scaling LoRA's update ({wildcards.size}): {wildcards.corpus}, {wildcards.objective}, seed {wildcards.seed}"


use rule job as match_norm with:
    input:
        target=target_of,
        corpus=DATA,
        like="<results>/unlearned/{corpus}/{objective}/lora/seed{seed}",
        start="<results>/unlearned/{corpus}/{objective}/full/seed{seed}",
    output:
        output=kept("<results>/unlearned/{corpus}/{objective}/full_matched/seed{seed}"),
    log:
        "<logs>/unlearned/{corpus}/{objective}/full_matched/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/full_matched/seed{seed}.tsv"
    params:
        **step("match_norm", unlearn_flags, terms),
    message:
        "Searching for the learning rate that gives full LoRA's norm: {wildcards.corpus}, {wildcards.objective}, seed {wildcards.seed}"
