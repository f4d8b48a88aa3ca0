"""Bring a dataset of the Hugging Face hub, or an excerpt of it, into the workflow."""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.corpora import ExcerptSettings


def main(
    dataset: str, revision: str, settings: ExcerptSettings, output: Path, scratch: bool = False
) -> None:
    """Download a dataset in MUSE's form, verify it and write it, or an excerpt of it.

    What was downloaded stays in the hub's cache (HF_HOME) and is used from there the next time,
    also without network (HF_HUB_OFFLINE=1).

    Args:
        dataset: its id on the hub, owner/name.
        revision: its commit, 40 hexadecimal digits.
        settings: how much of it to keep.
        output: folder to write; a previous one is replaced.
        scratch: whether a base is trained from scratch, on raw/pretrain.json.
    """
    from qunlearn.corpora import layout, muse, overlaps
    from qunlearn.corpora.excerpt import check_pretrain, excerpt
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import Stopwatch, write_manifest

    stopwatch = Stopwatch()
    whole, files = muse.download(dataset, revision)
    corpus = excerpt(whole, settings)
    if scratch:
        check_pretrain(corpus.raw["pretrain"], f"dataset {dataset}")
    with new_folder(output) as folder:
        layout.write(folder, corpus)
        write_manifest(
            folder,
            step="corpus",
            settings=settings,
            inputs=files,
            stopwatch=stopwatch,
            source=f"hub:{dataset}",
            revision=revision,
            overlaps=overlaps.report(corpus, whole),
        )


if __name__ == "__main__":
    run_script(main)
