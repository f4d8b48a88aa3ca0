# What people see first: a figure for every claim.
rule survival_of_forgetting:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
    output:
        report(
            out("figures/survival_of_forgetting.png"),
            caption="../report/survival_of_forgetting.rst",
            category="Forgetting",
            labels={"result": "Forgetting by precision"},
        ),
        out("figures/survival_of_forgetting.pdf"),
    log:
        out("logs/figures/survival_of_forgetting.log"),
    benchmark:
        out("benchmarks/figures/survival_of_forgetting.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_survival_of_forgetting.py"),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing what each precision leaves of the forgetting"
    shell:
        "run plot_survival_of_forgetting.py --metrics {input.metrics:q} "
        "--summary {input.summary:q} --output {params.folder:q} > {log:q} 2>&1"


rule reversion:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
        survival=expand(out("survival/{model}"), model=measured_models()),
    output:
        report(
            out("figures/reversion.png"),
            caption="../report/reversion.rst",
            category="Forgetting",
            labels={"result": "Reversion by grid"},
        ),
        out("figures/reversion.pdf"),
    log:
        out("logs/figures/reversion.log"),
    benchmark:
        out("benchmarks/figures/reversion.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_reversion.py"),
        survival=lambda wildcards: out("survival"),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing how much forgetting each grid takes back"
    shell:
        "run plot_reversion.py --metrics {input.metrics:q} --summary {input.summary:q} "
        "--survival {params.survival:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


rule update_on_grids:
    input:
        expand(
            out("survival/{{corpus}}/{{objective}}/{adapter}/seed{seed}"),
            adapter=CONFIG["unlearn"]["adapters"],
            seed=CONFIG["seeds"][0],
        ),
    output:
        report(
            out("figures/{figure}_{corpus}_{objective}.png"),
            caption="../report/update_on_grids.rst",
            category="Mechanism",
            labels=lambda wildcards: {
                "result": {
                    "update_survival": "What arrives of each matrix",
                    "update_over_step": "Updates in steps of the grid",
                }[wildcards.figure],
                "corpus": style.corpus_name(wildcards.corpus),
                "method": style.method_name(wildcards.objective),
            },
        ),
        out("figures/{figure}_{corpus}_{objective}.pdf"),
    log:
        out("logs/figures/{figure}_{corpus}_{objective}.log"),
    benchmark:
        out("benchmarks/figures/{figure}_{corpus}_{objective}.tsv")
    wildcard_constraints:
        figure="update_survival|update_over_step",
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=lambda wildcards: code(f"plot_{wildcards.figure}.py"),
        survival=lambda wildcards: out("survival"),
        adapters=CONFIG["unlearn"]["adapters"],
        seed=CONFIG["seeds"][0],
        precisions=GRIDS,
        folder=subpath(output[0], parent=True),
    message:
        "Drawing {wildcards.figure}: {wildcards.corpus}, {wildcards.objective}"
    shell:
        "run plot_{wildcards.figure}.py --survival {params.survival:q} "
        "--corpus {wildcards.corpus} --objective {wildcards.objective} --seed {params.seed:q} "
        "--adapters {params.adapters:q} --precisions {params.precisions:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


rule controls:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
        survival=expand(out("survival/{model}"), model=measured_models()),
    output:
        report(
            out("figures/controls.png"),
            caption="../report/controls.rst",
            category="Controls",
            labels={"result": "Reversion of the controls"},
        ),
        out("figures/controls.pdf"),
    log:
        out("logs/figures/controls.log"),
    benchmark:
        out("benchmarks/figures/controls.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_controls.py"),
        survival=lambda wildcards: out("survival"),
        precisions=controls.plain_grids(CONFIG["precisions"]),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing what the controls tell apart"
    shell:
        "run plot_controls.py --metrics {input.metrics:q} --summary {input.summary:q} "
        "--survival {params.survival:q} "
        "--precisions {params.precisions:q} --output {params.folder:q} > {log:q} 2>&1"


rule pareto:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
    output:
        report(
            out("figures/pareto.png"),
            caption="../report/pareto.rst",
            category="Forgetting",
            labels={"result": "Forgetting against Utility"},
        ),
        out("figures/pareto.pdf"),
    log:
        out("logs/figures/pareto.log"),
    benchmark:
        out("benchmarks/figures/pareto.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_pareto.py"),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing forgetting against Utility"
    shell:
        "run plot_pareto.py --metrics {input.metrics:q} --summary {input.summary:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


rule slope:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
    output:
        report(
            out("figures/slope.png"),
            caption="../report/slope.rst",
            category="Forgetting",
            labels={"result": "From bf16 to coarser precisions"},
        ),
        out("figures/slope.pdf"),
    log:
        out("logs/figures/slope.log"),
    benchmark:
        out("benchmarks/figures/slope.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_slope.py"),
        precisions=GRIDS,
        folder=subpath(output[0], parent=True),
    message:
        "Drawing each metric from bf16 to the coarser precisions"
    shell:
        "run plot_slope.py --metrics {input.metrics:q} --summary {input.summary:q} "
        "--precisions {params.precisions:q} --output {params.folder:q} > {log:q} 2>&1"


rule loss_curves:
    input:
        records(),
    output:
        report(
            out("figures/loss_curves.png"),
            caption="../report/loss_curves.rst",
            category="Mechanism",
            labels={"result": "How unlearning went"},
        ),
        out("figures/loss_curves.pdf"),
    log:
        out("logs/figures/loss_curves.log"),
    benchmark:
        out("benchmarks/figures/loss_curves.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("plot_loss_curves.py"),
        unlearned=lambda wildcards: out("records/unlearned"),
        models=trained_models(),
        folder=subpath(output[0], parent=True),
    message:
        "Drawing how unlearning went"
    shell:
        "run plot_loss_curves.py --unlearned {params.unlearned:q} --models {params.models:q} "
        "--output {params.folder:q} > {log:q} 2>&1"
