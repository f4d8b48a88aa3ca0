# What all rules of work have in common; each is `job` with files, settings and words of its own, and
# STEPS has its script, environment and kind. By itself it is nothing that could run.
rule job:
    log:
        "<logs>/job.log",
    conda:
        lambda wildcards, params: f"../../envs/{params.environment}.yaml"
    threads: need("threads")
    resources:
        mem_mb=need("mem_mb", lambda attempt: 1.5 ** (attempt - 1)),
        runtime=need("runtime", lambda attempt: attempt),
        gpu=need("gpu"),
    params:
        script="",
        flags="",
        files="",
    shell:
        COMMAND
