# How sure the numbers are, and what they say about the paper's claims.
rule summary:
    input:
        expand(out("eval/{cell}/metrics.json"), cell=configuration.cells(CONFIG)),
    output:
        report(
            out("tables/summary.csv"),
            caption="../report/summary.rst",
            category="Tables",
            labels={"result": "Every metric over seeds and items (CSV)"},
        ),
    log:
        out("logs/tables/summary.log"),
    benchmark:
        out("benchmarks/tables/summary.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("summarise.py"),
        experiment=CONFIG["experiment"],
        evaluations=lambda wildcards: out("eval"),
        cells=configuration.cells(CONFIG),
        settings=evaluation_flags(),
    message:
        "Summarising all metrics over seeds and items"
    shell:
        "run summarise.py --evaluations {params.evaluations:q} --experiment {params.experiment:q} "
        "--cells {params.cells:q} {params.settings} --output {output:q} > {log:q} 2>&1"


rule differences:
    input:
        expand(out("eval/{cell}/metrics.json"), cell=configuration.cells(CONFIG)),
    output:
        report(
            out("tables/tests.csv"),
            caption="../report/tests.rst",
            category="Claims",
            labels={"result": "Paired tests (CSV)"},
        ),
    log:
        out("logs/tables/tests.log"),
    benchmark:
        out("benchmarks/tables/tests.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("test_differences.py"),
        experiment=CONFIG["experiment"],
        evaluations=lambda wildcards: out("eval"),
        cells=configuration.cells(CONFIG),
        settings=evaluation_flags(),
    message:
        "Testing the differences between variants and between precisions"
    shell:
        "run test_differences.py --evaluations {params.evaluations:q} "
        "--experiment {params.experiment:q} --cells {params.cells:q} {params.settings} "
        "--output {output:q} > {log:q} 2>&1"


rule claims:
    input:
        summary=out("tables/summary.csv"),
        tests=out("tables/tests.csv"),
    output:
        expand(
            out("tables/{name}"),
            name=["claims.csv", "claims_published.csv", "claims.md"],
        ),
    log:
        out("logs/tables/claims.log"),
    benchmark:
        out("benchmarks/tables/claims.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("judge_claims.py"),
        claims=resource("claims.yaml"),
        published=resource("published"),
        evaluations=lambda wildcards: out("eval"),
        cells=configuration.cells(CONFIG),
        settings=evaluation_flags(),
        notes=learning_rates(CONFIG),
        folder=subpath(output[0], parent=True),
    message:
        "Judging the paper's claims"
    shell:
        'run judge_claims.py --claims "$CLAIMS" --published "$PUBLISHED" '
        "--summary {input.summary:q} --tests {input.tests:q} --evaluations {params.evaluations:q} "
        "--cells {params.cells:q} {params.settings} --notes {params.notes:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


rule vs_paper:
    input:
        summary=out("tables/summary.csv"),
    output:
        out("tables/vs_paper.csv"),
    log:
        out("logs/tables/vs_paper.log"),
    benchmark:
        out("benchmarks/tables/vs_paper.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("compare_with_paper.py"),
        published=resource("published"),
        counterpart=CONFIG["counterpart"],
    message:
        "Setting the numbers beside the published ones"
    shell:
        'run compare_with_paper.py --published "$PUBLISHED" --summary {input.summary:q} '
        "--counterpart {params.counterpart:q} --output {output:q} > {log:q} 2>&1"
