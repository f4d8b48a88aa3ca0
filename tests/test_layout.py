"""The folder of a corpus: what is written is read, and what is bad is named."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_corpora import SMALL

from qunlearn.corpora import layout, local, mini
from qunlearn.run.errors import InputError


def put(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def change(path: Path, edit: Callable[[list[Any]], list[Any]]) -> None:
    put(path, edit(json.loads(path.read_text(encoding="utf-8"))))


class TestLayout:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        layout.write(tmp_path, mini.generate("news", SMALL))
        return tmp_path

    def test_what_is_written_is_read(self, folder: Path) -> None:
        assert layout.load(folder) == mini.generate("news", SMALL)
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")} == set(
            layout.FILES
        )

    def test_pretrain_may_be_absent_unless_asked_for(self, folder: Path) -> None:
        (folder / "raw/pretrain.json").unlink()
        corpus = layout.verify(folder)
        assert corpus.raw["pretrain"] == []
        with pytest.raises(InputError, match=re.escape("raw/pretrain.json: no such file")):
            layout.verify(folder, pretrain=True)
        layout.write(folder, corpus)
        assert not (folder / "raw/pretrain.json").exists()

    def test_the_further_forget_sets_may_be_absent_but_not_in_part(self, folder: Path) -> None:
        folds = {f"forget_{number}": [f"fold {number}"] for number in (1, 2, 3, 4)}
        corpus = replace(mini.generate("news", SMALL), scal=folds)
        layout.write(folder, corpus)
        assert layout.verify(folder) == corpus
        assert not (folder / "sust").exists()
        (folder / "scal/forget_3.json").unlink()
        with pytest.raises(InputError, match=re.escape("scal/forget_3.json: no such file")):
            layout.verify(folder)
        put(folder / "scal/forget_3.json", ["a", 3])
        with pytest.raises(InputError, match=re.escape("scal/forget_3.json: item 1 is a int")):
            layout.verify(folder)

    def test_a_blank_text_may_stand_in_raw_only(self, folder: Path) -> None:
        put(folder / "raw/forget.json", ["", "words"])
        assert layout.load(folder).raw["forget"] == ["", "words"]
        put(folder / "raw/forget.json", ["", " "])
        with pytest.raises(InputError, match=re.escape("raw/forget.json: every text is blank")):
            layout.load(folder)

    @pytest.mark.parametrize(
        ("file", "content", "complaint"),
        [
            ("raw/retain1.json", [], "the list is empty"),
            ("raw/retain1.json", {"text": "a"}, "holds a dict; write a JSON list"),
            ("raw/retain1.json", ["a", 3], "item 1 is a int; write a string"),
            ("privleak/holdout.json", ["a", " \n"], "item 1 is blank"),
            ("knowmem/forget_qa.json", ["a"], "item 0 is a str; write an object with question"),
            ("knowmem/forget_qa.json", [{"answer": "a"}], "item 0 has no field 'question'"),
            (
                "knowmem/retain_qa_icl.json",
                [{"question": "q", "answer": ["a"]}],
                "item 0, field 'answer' is a list; write a string",
            ),
            ("verbmem/forget.json", [{"prompt": "p", "gt": ""}], "item 0, field 'gt' is blank"),
        ],
    )
    def test_a_bad_item_is_named(
        self, folder: Path, file: str, content: Any, complaint: str
    ) -> None:
        put(folder / file, content)
        with pytest.raises(InputError, match=f"{file}: {complaint}") as caught:
            layout.verify(folder)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("file", [file for file in layout.FILES if file != layout.PRETRAIN])
    def test_a_missing_file_is_named(self, folder: Path, file: str) -> None:
        (folder / file).unlink()
        with pytest.raises(InputError, match=f"{file}: no such file"):
            layout.verify(folder)

    def test_unreadable_files_and_folders_are_named(self, folder: Path) -> None:
        (folder / "raw/holdout.json").write_bytes(b'["a", "\xff"]')
        with pytest.raises(InputError, match=re.escape("raw/holdout.json: not UTF-8 at byte 7")):
            layout.verify(folder)
        (folder / "raw/holdout.json").write_text('["a",\n "b"')
        with pytest.raises(
            InputError, match=re.escape("raw/holdout.json: not valid JSON at line 2")
        ):
            layout.verify(folder)
        with pytest.raises(InputError, match="absent: no such folder"):
            layout.verify(folder / "absent")


class TestLocal:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        layout.write(tmp_path, mini.generate("books", SMALL))
        return tmp_path

    def test_a_sound_folder_is_read(self, folder: Path) -> None:
        assert local.verify(folder, pretrain=True) == mini.generate("books", SMALL)

    @pytest.mark.parametrize("part", ["raw", "privleak"])
    def test_a_holdout_text_that_is_trained_on(self, folder: Path, part: str) -> None:
        known = layout.load(folder).raw["retain2"][1]
        change(folder / part / "holdout.json", lambda texts: [texts[0], known])
        with pytest.raises(InputError, match=f"{part}/holdout.json: item 1 is also in raw/retain2"):
            local.verify(folder)

    def test_examples_that_are_also_asked(self, folder: Path) -> None:
        asked = layout.load(folder).knowmem["retain_qa"]
        change(folder / "knowmem/retain_qa_icl.json", lambda cards: [cards[0], *asked[2:4]])
        complaint = "/retain_qa.json: item 2 is also in knowmem/retain_qa_icl.json (2 of 10 items"
        with pytest.raises(InputError, match=re.escape(complaint)):
            local.verify(folder)

    @pytest.mark.parametrize("retained", ["retain1", "retain2", "pretrain"])
    @pytest.mark.parametrize("forgotten", ["raw/forget", "privleak/forget", "verbmem/forget"])
    def test_a_text_to_be_forgotten_that_is_also_retained(
        self, folder: Path, retained: str, forgotten: str
    ) -> None:
        corpus = layout.load(folder)
        change(folder / "raw/forget.json", lambda _: ["A text that stands nowhere else."])
        text = {
            "raw/forget": "A text that stands nowhere else.",
            "privleak/forget": f"Before it. {corpus.privleak['forget'][3]} After it.",
            "verbmem/forget": "Before it. {prompt}{gt} After it.".format(
                **corpus.verbmem["forget"][3]
            ),
        }[forgotten]
        if forgotten == "verbmem/forget":  # of which privleak's texts are the same
            change(folder / "privleak/forget.json", lambda _: ["Something else."])
        change(folder / f"raw/{retained}.json", lambda texts: [*texts, text])
        with pytest.raises(InputError) as caught:
            local.verify(folder)
        item = 0 if forgotten == "raw/forget" else 3
        assert str(caught.value).startswith(
            f"{folder / forgotten}.json: item {item} is also in raw/{retained}.json (1 of "
        )
        assert "\n" not in str(caught.value)
