"""Write a corpus in MUSE's layout: generated, made of text, or copied whole or as an excerpt.

Downloads stay in the hub's cache (HF_HOME) and are reused from there, also without a network
(HF_HUB_OFFLINE=1).

Args:
    settings: what to generate, or how much to keep.
    output: folder to write; a previous one is replaced.
    name: of mini: which corpus to generate, news or books.
    source: of excerpt: folder with raw/, knowmem/, verbmem/ and privleak/.
    dataset: of excerpt, instead of a folder: its id on the hub, owner/name.
    revision: the dataset's commit, 40 hex digits.
    scratch: whether a base is trained from scratch, on raw/pretrain.json.
    forget: of text: what should be forgotten, a file or a folder in MUSE's layout.
    retain: of text: what should be kept, a file.
    holdout: of text: whether there is a retrained model, for which alone unseen text is of use.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated

from tyro.conf import subcommand

from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings, TextSettings

Mini = Annotated[MiniSettings, subcommand("mini", prefix_name=False)]
Excerpt = Annotated[ExcerptSettings, subcommand("excerpt", prefix_name=False)]
Text = Annotated[TextSettings, subcommand("text", prefix_name=False)]


@run_script
def main(
    settings: Mini | Excerpt | Text,
    output: Path,
    name: str = "",
    source: Path | None = None,
    dataset: str = "",
    revision: str = "",
    scratch: bool = False,
    forget: Path | None = None,
    retain: Path | None = None,
    holdout: bool = False,
) -> None:
    from qunlearn.corpora import layout
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import write_manifest

    # By name, so that a change of what generates a corpus imports none again.
    if isinstance(settings, MiniSettings):
        corpus = import_module("qunlearn.corpora.mini").generate(name, settings)
        inputs, facts = {}, {"seed": settings.seed, "source": f"mini:{name}"}
    elif isinstance(settings, TextSettings):
        if forget is None:
            raise InputError("--forget: is missing; name the text that should be forgotten")
        text = import_module("qunlearn.corpora.text")
        corpus, inputs, facts = text.make(settings, forget, retain, holdout)
    else:
        muse = import_module("qunlearn.corpora.muse")
        corpus, inputs, facts = muse.make(settings, source, dataset, revision, scratch)
    with new_folder(output) as folder:
        layout.write(folder, corpus)
        write_manifest(folder, "corpus", settings, inputs, **facts)
