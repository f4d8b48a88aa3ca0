# Does unlearning survive quantization? From a corpus to a table.
from snakemake.utils import min_version

min_version("9.16")


# A configuration that is named stands by itself: what it leaves out has the documented default.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/corpora.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"


# The report's start page is a result like others, so it is not beside this file.
report: f"{Path.cwd()}/{RESULTS}/report/story.rst"


# Not a rule: as an ordinary input it would run everything again after each change of the
# configuration, and an ancient one hides from Snakemake 9 what else must run.
onstart:
    look_before_work()


localrules:
    all,
    data,
    tables,
    figures,


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
        CARDS,
        PAGES,


rule data:
    input:
        expand("<results>/data/{corpus}", corpus=CONFIG["corpora"]),


rule tables:
    input:
        TABLES,


rule figures:
    input:
        FIGURES,
