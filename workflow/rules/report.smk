# Pages that only the report has; `snakemake --report FILE.html` binds them and the rest into one file.
rule report_story:
    input:
        mechanism=out("tables/mechanism.csv"),
        summary=out("tables/summary.csv"),
        tests=out("tables/tests.csv"),
        claims=out("tables/claims.csv"),
    output:
        STORY,
    log:
        out("logs/report/story.log"),
    benchmark:
        out("benchmarks/report/story.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_story.py"),
        settings=lambda wildcards: json.dumps(TOLD),
        notes=learning_rates(CONFIG),
    message:
        "Writing the report's start page"
    shell:
        "run write_story.py --mechanism {input.mechanism:q} --summary {input.summary:q} "
        "--tests {input.tests:q} --claims {input.claims:q} --settings {params.settings:q} "
        "--notes {params.notes:q} --output {output:q} > {log:q} 2>&1"


rule report_table:
    input:
        out("tables/{name}.md"),
    output:
        report(
            out("report/{name}.html"),
            caption="../report/table.rst",
            category=lambda wildcards: {
                "reversion": "Forgetting",
                "mechanism": "Mechanism",
                "claims": "Claims",
                "candidates": "Selection",
            }.get(wildcards.name, "Tables"),
            labels=lambda wildcards: {
                "result": {
                    "reversion": "Reversion, all metrics (table)",
                    "mechanism": "What arrives of the updates (table)",
                    "claims": "The paper's claims, judged",
                    "candidates": "Every candidate, and why one was chosen",
                }.get(wildcards.name, wildcards.name.capitalize())
            },
        ),
    log:
        out("logs/report/{name}.log"),
    benchmark:
        out("benchmarks/report/{name}.tsv")
    wildcard_constraints:
        name="|".join(PAGES),
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_pages.py"),
        folder=subpath(output[0], parent=True),
    message:
        "Writing the report's page of the table {wildcards.name}"
    shell:
        "run write_pages.py --tables {input:q} --output {params.folder:q} > {log:q} 2>&1"


rule report_provenance:
    input:
        expand(out("eval/{cell}/manifest.json"), cell=configuration.cells(CONFIG)),
        records(),
    output:
        report(
            out("report/configuration.html"),
            caption="../report/configuration.rst",
            category="Provenance",
            labels={"result": "Configuration"},
        ),
        report(
            out("report/versions.html"),
            caption="../report/versions.rst",
            category="Provenance",
            labels={"result": "What ran, with what"},
        ),
    log:
        out("logs/report/provenance.log"),
    benchmark:
        out("benchmarks/report/provenance.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_provenance.py"),
        results=lambda wildcards: out(""),
        cells=configuration.cells(CONFIG),
        settings=lambda wildcards: json.dumps(TOLD),
        folder=subpath(output[0], parent=True),
    message:
        "Writing the report's pages on the configuration and on what ran"
    shell:
        "run write_provenance.py --results {params.results:q} --cells {params.cells:q} "
        "--settings {params.settings:q} --output {params.folder:q} > {log:q} 2>&1"
