# From every cell's metrics to the tables and figures that people read.
rule collect_metrics:
    input:
        expand(out("eval/{cell}/metrics.json"), cell=cells()),
    output:
        out("tables/metrics.csv"),
    log:
        out("logs/tables/metrics.log"),
    benchmark:
        out("benchmarks/tables/metrics.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    params:
        code=code("collect_metrics.py"),
        experiment=CONFIG["experiment"],
        evaluations=lambda wildcards: out("eval"),
        cells=cells(),
    message:
        "Gathering the metrics of all cells"
    shell:
        "run collect_metrics.py --evaluations {params.evaluations} "
        "--experiment {params.experiment} --cells {params.cells} --output {output} > {log} 2>&1"


rule main_table:
    input:
        out("tables/metrics.csv"),
    output:
        expand(out("tables/main.{form}"), form=["csv", "md", "tex", "html"]),
    log:
        out("logs/tables/main.log"),
    benchmark:
        out("benchmarks/tables/main.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    params:
        code=code("make_main_table.py"),
        folder=subpath(output[0], parent=True),
    message:
        "Setting the main table"
    shell:
        "run make_main_table.py --metrics {input} --output {params.folder} > {log} 2>&1"


rule survival_of_forgetting:
    input:
        out("tables/metrics.csv"),
    output:
        expand(out("figures/survival_of_forgetting.{form}"), form=["png", "pdf"]),
    log:
        out("logs/figures/survival_of_forgetting.log"),
    benchmark:
        out("benchmarks/figures/survival_of_forgetting.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: asks("tables", "threads")
    resources:
        mem_mb=asks("tables", "mem_mb"),
        runtime=asks("tables", "runtime"),
    params:
        code=code("plot_survival_of_forgetting.py"),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing what each precision leaves of the forgetting"
    shell:
        "run plot_survival_of_forgetting.py --metrics {input} --output {params.folder} > {log} 2>&1"
