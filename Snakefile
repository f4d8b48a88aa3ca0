# Does unlearning survive quantization? From a corpus to a table.
from snakemake.utils import min_version

min_version("9.16")


# --configfile replaces config.yaml: a key that it leaves out has its documented default.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/job.smk"
include: "workflow/rules/corpora.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"


# The report's start page is itself a result, so it lies among the results.
report: f"{Path.cwd()}/{RESULTS}/report/story.rst"


# Not a rule: as an ordinary input, its output would run everything again after each change of the
# configuration; as an ancient() one, it would hide from Snakemake 9 what else must run.
onstart:
    if workflow.is_main_process:  # not in each job of a cluster
        try:
            warnings, jobs = preflight.preflight(
                CONFIG,
                Path(RESULTS),
                cluster=workflow.non_local_exec,
                python=None if CONDA else PYTHON,  # conda creates its environments later
            )
            NEEDS.update(plan.needs(CONFIG, jobs))
            preflight.keep(warnings, Path(RESULTS, "preflight.json"))
        except InputError as error:
            sys.exit(f"error: {error}")
        unlock.note_run()


localrules:
    all,
    data,
    tables,
    figures,


rule data:
    input:
        expand("<results>/data/{corpus}", corpus=CONFIG["corpora"]),


rule tables:
    input:
        rules.analyse.output,
        rules.write_tables.output,
        rules.score.output if GRIDS else [],


rule figures:
    input:
        expand("<results>/figures/{name}.{form}", name=FIGURES, form=["png", "pdf"]),


# An audit has tables of its own, and nothing is said of claims about training.
rule all:
    default_target: True
    input:
        rules.write_audit.output if AUDITED else rules.tables.input,
        rules.figures.input,
        expand("<results>/report/{page}", page=[] if AUDITED else WORDS),
        expand("<results>/report/{page}.html", page=PAGES),
        # A card is useless without its model.
        rules.model_cards.output if KEEP and not AUDITED else [],
