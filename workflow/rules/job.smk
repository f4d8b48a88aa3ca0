# What all rules that run a script share: each extends `job` with its own files, settings and
# message, and STEPS has its script, environment and kind of job. `job` itself never runs.
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
