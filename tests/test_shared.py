"""Files are written whole or not at all; ids find their rows; missing packages name their extra."""

from __future__ import annotations

import os
import sys

import pytest

from sparsedevice.errors import MissingExtraError, PackedFileError, SparseDeviceError, UnknownIdError
from sparsedevice.extras import require
from sparsedevice.files import atomic_file, atomic_folder, read_json, sha256_file, write_json
from sparsedevice.vocabulary import Vocabulary


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    with atomic_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as file:
        file.write(b"")
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_is_replaced_whole(tmp_path):
    out = tmp_path / "out"
    for text in ("first", "second"):
        with atomic_folder(out) as beside:
            (beside / text).write_text(text)
    assert os.listdir(out) == ["second"]
    with pytest.raises(RuntimeError), atomic_folder(out) as beside:
        (beside / "third").touch()
        raise RuntimeError
    assert os.listdir(out) == ["second"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(SparseDeviceError, match="is a file"), atomic_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for writer in (atomic_file, atomic_folder):
        with pytest.raises(SparseDeviceError, match="cannot write"), writer(tmp_path / "file" / "below"):
            pass


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_json_that_is_not_an_object_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SparseDeviceError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
    with pytest.raises(SparseDeviceError, match=r"none\.json"):
        read_json(tmp_path / "none.json")


def test_json_round_trip_and_hash(tmp_path):
    write_json(tmp_path / "x.json", {"a": "ü"})
    assert read_json(tmp_path / "x.json") == {"a": "ü"}
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf")


def test_vocabulary():
    vocabulary = Vocabulary(["a", "7", "c"])
    assert (vocabulary.row("c"), vocabulary.row(7)) == (2, 1)
    assert vocabulary.rows(["c", "x", 7]).tolist() == [2, -1, 1]
    with pytest.raises(UnknownIdError, match="'x'"):
        vocabulary.row("x")
    assert vocabulary == Vocabulary(("a", "7", "c"))
    assert vocabulary != Vocabulary(["a"])


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    with pytest.raises(MissingExtraError, match=r"sparsedevice\[train\]"):
        require("no_such_package_at_all", extra="train")
    # A package that is there but broken inside is not reported as missing.
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as raised:
        require("broken_package", extra="train")
    assert not isinstance(raised.value, MissingExtraError)


def test_a_broken_promise_has_a_name():
    assert PackedFileError("magic", "not one of ours").promise == "magic"
