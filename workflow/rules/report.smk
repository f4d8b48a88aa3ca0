# What people see first: the figures, and the pages that only the report has.
# `snakemake --report FILE.html` puts them and the tables into one file.
use rule job as figure with:
    input:
        lambda wildcards: FIGURES[wildcards.figure]["reads"],
    output:
        report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure]["category"],
            labels=lambda wildcards: FIGURES[wildcards.figure]["labels"],
        ),
        "<results>/figures/{figure}.pdf",
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    params:
        **step(
            "figure",
            lambda wildcards: FIGURES[wildcards.figure]["flags"],
            lambda wildcards: [FIGURES[wildcards.figure]["module"]],
        ),
    message:
        "Drawing {wildcards.figure}"


use rule job as page with:
    input:
        page_reads,
    output:
        output=report(
            "<results>/report/{page}.html",
            caption="../report/page.rst",
            category=lambda wildcards: PAGES[wildcards.page][0],
            labels=lambda wildcards: {"result": PAGES[wildcards.page][1]},
        ),
    log:
        "<logs>/report/{page}.log",
    benchmark:
        "<benchmarks>/report/{page}.tsv"
    params:
        **step("page", page_flags),
    message:
        "Writing {output}"


# The report's first page, and the answer in a few lines; the report does not list them as results.
use rule page as words with:
    input:
        lambda wildcards: expand("<results>/tables/{name}.csv", name=WORDS[wildcards.page]),
    output:
        output="<results>/report/{page}",
    wildcard_constraints:
        page="|".join(WORDS),
