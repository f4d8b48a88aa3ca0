# From every cell's metrics to the tables and figures that people read.
rule collect_metrics:
    input:
        expand(EVALUATED_CELL + "/metrics.json", cell=cells()),
    output:
        RESULTS + "/tables/metrics.csv",
    params:
        script=script("collect_metrics.py"),
        code=code("collect_metrics.py"),
        experiment=CONFIG["experiment"],
        evaluations=RESULTS + "/eval",
        cells=cells(),
    log:
        LOGS + "/tables/metrics.log",
    benchmark:
        BENCHMARKS + "/tables/metrics.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    message:
        "Gathering the metrics of all cells"
    shell:
        "{PYTHON} {params.script} --evaluations {params.evaluations} "
        "--experiment {params.experiment} --cells {params.cells} --output {output} > {log} 2>&1"


rule main_table:
    input:
        RESULTS + "/tables/metrics.csv",
    output:
        expand(RESULTS + "/tables/main.{form}", form=["csv", "md", "tex", "html"]),
    params:
        script=script("make_main_table.py"),
        code=code("make_main_table.py"),
        folder=RESULTS + "/tables",
    log:
        LOGS + "/tables/main.log",
    benchmark:
        BENCHMARKS + "/tables/main.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    message:
        "Setting the main table"
    shell:
        "{PYTHON} {params.script} --metrics {input} --output {params.folder} > {log} 2>&1"


rule survival_of_forgetting:
    input:
        RESULTS + "/tables/metrics.csv",
    output:
        expand(RESULTS + "/figures/survival_of_forgetting.{form}", form=["png", "pdf"]),
    params:
        script=script("plot_survival_of_forgetting.py"),
        code=code("plot_survival_of_forgetting.py"),
        folder=RESULTS + "/figures",
    log:
        LOGS + "/figures/survival_of_forgetting.log",
    benchmark:
        BENCHMARKS + "/figures/survival_of_forgetting.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    message:
        "Drawing what each precision leaves of the forgetting"
    shell:
        "{PYTHON} {params.script} --metrics {input} --output {params.folder} > {log} 2>&1"
