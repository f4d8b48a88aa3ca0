# Snakemake's cache between workflows, for what is fetched and for base, target and retrain:
#   SNAKEMAKE_OUTPUT_CACHE=FOLDER snakemake --cache …
# What its key is made of, and when two experiments share an entry: docs/disk.md.
from qunlearn import caching, hardware

# In a job of a cluster Snakemake knows nothing of the rules before it, and takes folders for files.
CACHING = workflow.workflow_settings.cache is not None and workflow.is_main_process
if CACHING:
    try:
        caching.check_location(os.environ.get(caching.LOCATION))
        # With conda the environment's file is in the key.
        VERSIONS = {} if CONDA else caching.versions(PYTHON)
    except InputError as error:
        sys.exit(f"error: {error}")
    COMPUTES = hardware.computes()
# A base that is the user's own folder would be taken for a file too.
CACHES_FINETUNING = CACHING and not any(
    name == "base" and source.kind == "folder"
    for corpus in CONFIG["corpora"]
    for name, source in sources.used(CONFIG, corpus).items()
    if name not in sources.fetched(CONFIG, corpus)
)


# Parameters of cached rules. As they ask for `input` or `threads`, they are in the cache's key, but
# no reason for Snakemake to run a job again whose output is there.
def packages(wildcards, input):
    """The versions of the packages that decide what is fetched or trained."""
    return VERSIONS if CACHING else {}


if CACHING:

    def computed(wildcards, threads):
        """What a training's last bits depend on."""
        return [threads, COMPUTES]

else:

    def computed(wildcards, input):
        """Nothing, and without the reckoning of resources that `threads` would take."""
        return []


def texts(wildcards, input):
    """The content of a corpus that the user has on disk."""
    return caching.content(input) if CACHING else ""


def folder_files(folder, pattern):
    """The files of a user's folder: Snakemake sees when one changes. The folder, if there are none."""
    found = (str(path) for path in Path(folder).glob(pattern) if path.is_file())
    return sorted(found) or folder
