"""Bring a corpus on disk, or an excerpt of it, into the workflow."""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.corpora import ExcerptSettings


def main(source: Path, settings: ExcerptSettings, output: Path, scratch: bool = False) -> None:
    """Verify a corpus folder in MUSE's layout and copy it, or an excerpt of it.

    Args:
        source: folder with raw/, knowmem/, verbmem/ and privleak/.
        settings: how much of it to keep.
        output: folder to write; a previous one is replaced.
        scratch: whether a base is trained from scratch, on raw/pretrain.json.
    """
    from qunlearn.corpora import layout, muse, overlaps
    from qunlearn.corpora.excerpt import check_pretrain, excerpt
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import Stopwatch, write_manifest

    stopwatch = Stopwatch()
    whole = muse.read_local(source)
    corpus = excerpt(whole, settings)
    if scratch:
        check_pretrain(corpus.raw["pretrain"], str(source))
    with new_folder(output) as folder:
        layout.write(folder, corpus)
        write_manifest(
            folder,
            step="corpus",
            settings=settings,
            inputs={"source": source},
            stopwatch=stopwatch,
            source="local",
            overlaps=overlaps.report(corpus, whole),
        )


if __name__ == "__main__":
    run_script(main)
