"""Generate a small corpus about invented entities.

Args:
    name: which corpus: news or books.
    settings: seed and sizes.
    output: folder to write; a previous one is replaced.
"""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.corpora import MiniSettings


@run_script
def main(name: str, settings: MiniSettings, output: Path) -> None:
    from qunlearn.corpora import layout, mini
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import write_manifest

    corpus = mini.generate(name, settings)
    with new_folder(output) as folder:
        layout.write(folder, corpus)
        write_manifest(folder, "corpus", settings, {}, settings.seed, source=f"mini:{name}")
