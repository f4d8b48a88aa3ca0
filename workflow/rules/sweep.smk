# Grids: candidates are trained, asked, and one is taken for each cell; nothing where nothing is swept.
if SPLIT_QUESTIONS:

    rule split_questions:
        input:
            out("data/{corpus}"),
        output:
            directory(out("questions/{corpus}/selection")),
            directory(out("questions/{corpus}/test")),
        log:
            out("logs/questions/{corpus}.log"),
        benchmark:
            out("benchmarks/questions/{corpus}.tsv")
        conda:
            "../../envs/data.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("split_questions.py"),
            share=CONFIG["selection"]["share"],
            seed=CONFIG["selection"]["seed"],
            folder=subpath(output[0], parent=True),
        message:
            "Parting the questions of {wildcards.corpus}: for the choice, and for the tables"
        shell:
            "run split_questions.py --corpus {input:q} --share {params.share:q} "
            "--seed {params.seed:q} --output {params.folder:q} > {log:q} 2>&1"


if SWEPT:

    # What is swept is not trained by `unlearn`: its model is one of the candidates.
    ruleorder: take_selected > unlearn

    use rule unlearn as sweep with:
        output:
            model=kept(
                directory(
                    out("sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}")
                )
            ),
            record=directory(
                out("records/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}")
            ),
        log:
            out("logs/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log"),
        benchmark:
            out(
                "benchmarks/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
            )
        params:
            settings=lambda wildcards: training_flags(point_of(wildcards)),
        message:
            "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"

    rule ask_candidates:
        input:
            trained=out("sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}"),
            corpus=questions("selection"),
            base=lambda wildcards: (
                checkpoint("target", wildcards.corpus, wildcards.seed)
                if wildcards.adapter == "lora"
                else []
            ),
        output:
            out("selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.json"),
        log:
            out("logs/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log"),
        benchmark:
            out(
                "benchmarks/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
            )
        priority: READERS
        conda:
            "../../envs/evaluate.yaml"
        threads: cores("evaluate")
        resources:
            **needs("evaluate"),
        params:
            code=code("ask_candidates.py"),
            models=lambda wildcards, input: [
                f"{input.trained}/{grids.snapshot_name(epochs)}"
                for epochs in point_of(wildcards).snapshots
            ],
            base=as_base,
            settings=flags(ASKING),
        message:
            "Asking the candidates of {wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"
        shell:
            "run ask_candidates.py --models {params.models:q} {params.base} "
            "--corpus {input.corpus:q} {params.settings} --output {output:q} > {log:q} 2>&1"

    # Target and retrain on the same questions.
    rule ask_reference:
        input:
            model=model_of,
            corpus=questions("selection"),
        output:
            out("selection/{corpus}/{model}.json"),
        log:
            out("logs/selection/{corpus}/{model}.log"),
        benchmark:
            out("benchmarks/selection/{corpus}/{model}.tsv")
        wildcard_constraints:
            model=REFERENCE_MODEL,
        conda:
            "../../envs/evaluate.yaml"
        threads: cores("evaluate")
        resources:
            **needs("evaluate"),
        params:
            code=code("ask_candidates.py"),
            settings=flags(ASKING),
        message:
            "Asking {wildcards.corpus}/{wildcards.model} what the candidates are asked"
        shell:
            "run ask_candidates.py --models {input.model:q} --corpus {input.corpus:q} "
            "{params.settings} --output {output:q} > {log:q} 2>&1"

    rule select_candidate:
        input:
            answers=lambda wildcards: candidate_files(
                wildcards.cell, "selection", ".json", CONFIG["seeds"]
            ),
            target=lambda wildcards: reference_answers("target", wildcards.cell),
            retrain=lambda wildcards: reference_answers("retrain", wildcards.cell),
        output:
            out("selection/{cell}.json"),
        log:
            out("logs/selection/{cell}.log"),
        benchmark:
            out("benchmarks/selection/{cell}.tsv")
        wildcard_constraints:
            cell="|".join(SWEPT),
        conda:
            "../../envs/tables.yaml"
        threads: cores("tables")
        resources:
            **needs("tables"),
        params:
            code=code("select_candidate.py"),
            folder=lambda wildcards: out(f"selection/{wildcards.cell}"),
            points=lambda wildcards: [point.name for point in POINTS[wildcards.cell]],
            seeds=CONFIG["seeds"],
            rule=lambda wildcards: selection_flags(wildcards.cell),
        message:
            "Choosing among the candidates of {wildcards.cell}"
        shell:
            "run select_candidate.py --cell {wildcards.cell} --answers {params.folder:q} "
            "--points {params.points:q} --seeds {params.seeds:q} --target {input.target:q} "
            "--retrain {input.retrain:q} {params.rule} --output {output:q} > {log:q} 2>&1"

    rule take_selected:
        input:
            selection=out("selection/{cell}.json"),
            trained=lambda wildcards: candidate_files(
                wildcards.cell, "sweep", "", [wildcards.seed]
            ),
        output:
            model=kept(directory(out("unlearned/{cell}/seed{seed}"))),
            record=directory(out("records/unlearned/{cell}/seed{seed}")),
        log:
            out("logs/unlearned/{cell}/seed{seed}.log"),
        benchmark:
            out("benchmarks/unlearned/{cell}/seed{seed}.tsv")
        wildcard_constraints:
            cell="|".join(SWEPT),
        conda:
            "../../envs/tables.yaml"
        threads: cores("tables")
        resources:
            **needs("tables"),
        params:
            code=code("take_selected.py"),
            trainings=lambda wildcards: out(
                f"sweep/{wildcards.cell}/seed{wildcards.seed}"
            ),
        message:
            "Taking the chosen candidate of {wildcards.cell}, seed {wildcards.seed}"
        shell:
            "run take_selected.py --selection {input.selection:q} "
            "--trainings {params.trainings:q} --output {output.model:q} > {log:q} 2>&1; record {output:q}"

    rule candidates_table:
        input:
            expand(out("selection/{cell}.json"), cell=SWEPT),
        output:
            report(
                out("tables/candidates.csv"),
                caption="../report/candidates.rst",
                category="Selection",
                labels={"result": "Every candidate (CSV)"},
            ),
            out("tables/candidates.md"),
        log:
            out("logs/tables/candidates.log"),
        benchmark:
            out("benchmarks/tables/candidates.tsv")
        conda:
            "../../envs/tables.yaml"
        threads: cores("tables")
        resources:
            **needs("tables"),
        params:
            code=code("make_candidates_table.py"),
            folder=subpath(output[0], parent=True),
        message:
            "Setting the table of all candidates"
        shell:
            "run make_candidates_table.py --selections {input:q} --output {params.folder:q} "
            "> {log:q} 2>&1"
