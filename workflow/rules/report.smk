# Pages that only the report has; `snakemake --report FILE.html` binds them and the rest into one file.
rule page:
    input:
        page_inputs,
    output:
        report(
            out("report/{page}.html"),
            caption="../report/page.rst",
            category=lambda wildcards: {
                "configuration": "Provenance",
                "versions": "Provenance",
                "reversion": "Forgetting",
                "mechanism": "Mechanism",
                "claims": "Claims",
                "candidates": "Selection",
            }[wildcards.page],
            labels=lambda wildcards: {
                "result": {
                    "configuration": "Configuration",
                    "versions": "What ran, with what",
                    "reversion": "Reversion, all metrics (table)",
                    "mechanism": "What arrives of the updates (table)",
                    "claims": "The paper's claims, judged",
                    "candidates": "All candidates, and why one was chosen",
                }[wildcards.page]
            },
        ),
    log:
        out("logs/report/{page}.log"),
    benchmark:
        out("benchmarks/report/{page}.tsv")
    wildcard_constraints:
        page="|".join(["configuration", "versions", *PAGES]),
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_page.py"),
        page=lambda wildcards, output: Path(output[0]).stem,
        results=lambda wildcards: out(""),
        settings=lambda wildcards: json.dumps(TOLD),
        cells=configuration.cells(CONFIG),
    message:
        "Writing {output}"
    shell:
        "run write_page.py --page {params.page:q} --results {params.results:q} "
        "--settings {params.settings:q} --cells {params.cells:q} --output {output:q} > {log:q} 2>&1"


use rule page as story with:
    input:
        expand(
            out("tables/{name}.csv"), name=["mechanism", "summary", "tests", "claims"]
        ),
    output:
        STORY,
    log:
        out("logs/report/story.log"),
    benchmark:
        out("benchmarks/report/story.tsv")
