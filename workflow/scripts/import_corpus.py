"""Bring a corpus on disk or on the Hugging Face hub, or an excerpt of it, into the workflow.

What was downloaded stays in the hub's cache (HF_HOME) and is used from there the next time,
also without network (HF_HUB_OFFLINE=1).

Args:
    settings: how much of it to keep.
    output: folder to write; a previous one is replaced.
    source: folder with raw/, knowmem/, verbmem/ and privleak/.
    dataset: instead of a folder: its id on the hub, owner/name.
    revision: the dataset's commit, 40 hex digits.
    scratch: whether a base is trained from scratch, on raw/pretrain.json.
"""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.corpora import ExcerptSettings


@run_script
def main(
    settings: ExcerptSettings,
    output: Path,
    source: Path | None = None,
    dataset: str = "",
    revision: str = "",
    scratch: bool = False,
) -> None:
    from qunlearn.corpora import layout, muse, overlaps
    from qunlearn.corpora.excerpt import check_pretrain, excerpt
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import write_manifest

    if source is not None:
        whole, inputs, where = muse.read_local(source), {"source": source}, str(source)
        facts = {"source": "local"}
    else:
        (whole, inputs), where = muse.download(dataset, revision), f"dataset {dataset}"
        facts = {"source": f"hub:{dataset}", "revision": revision}
    corpus = excerpt(whole, settings)
    if scratch:
        check_pretrain(corpus.raw["pretrain"], where)
    with new_folder(output) as folder:
        layout.write(folder, corpus)
        facts |= {"overlaps": overlaps.report(corpus, whole)}
        write_manifest(folder, "corpus", settings, inputs, **facts)
