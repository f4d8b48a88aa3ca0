# What people see first: a figure for every claim, and the pages that only the report has.
# `snakemake --report FILE.html` binds them and the tables into one file.
rule figure:
    input:
        figure_inputs,
    output:
        report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: PLOTS[drawn_by(wildcards)[0]][0],
            labels=figure_labels,
        ),
        "<results>/figures/{figure}.pdf",
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(DRAWN),
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=lambda wildcards: code("plot.py", figure=drawn_by(wildcards)[0]),
        flags=figure_flags,
        folder=subpath(output[0], parent=True),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "run plot.py {params.flags:q} --output {params.folder:q} > {log:q} 2>&1"


rule page:
    input:
        page_inputs,
    output:
        report(
            "<results>/report/{page}.html",
            caption="../report/page.rst",
            category=lambda wildcards: TITLES[wildcards.page][0],
            labels=lambda wildcards: {"result": TITLES[wildcards.page][1]},
        ),
    log:
        "<logs>/report/{page}.log",
    benchmark:
        "<benchmarks>/report/{page}.tsv"
    wildcard_constraints:
        page="|".join(TITLES),
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_page.py"),
        page=lambda wildcards, output: Path(output[0]).stem,
        settings=lambda wildcards: json.dumps(TOLD),
        cells=CELLS,
        notes=learning_rates(CONFIG),
    message:
        "Writing {output}"
    shell:
        'run write_page.py --page {params.page:q} --results "$RESULTS" '
        "--settings {params.settings:q} --cells {params.cells:q} --notes {params.notes:q} "
        "--output {output:q} > {log:q} 2>&1"


use rule page as story with:
    input:
        expand("<results>/tables/{name}.csv", name=["mechanism", "summary", "tests", "claims"]),
    output:
        "<results>/report/story.rst",
    log:
        "<logs>/report/story.log",
    benchmark:
        "<benchmarks>/report/story.tsv"
