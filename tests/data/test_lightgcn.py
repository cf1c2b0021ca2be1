"""The LightGCN reader: numbers, blocks, and the line of each error."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsedevice.data import DataOptions, lightgcn, load_split, read_interactions
from sparsedevice.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.txt").write_text("0 3 10 2\n\n2 3\r\n1\n5\t2 10 \n")
    (tmp_path / "test.txt").write_text("0 7\n2 10 2\n5 3")
    (tmp_path / "item_list.txt").write_text("org_id remap_id\n99 0\n")
    return tmp_path


def test_given_split(folder):
    split = load_split(folder, DataOptions(validation_fraction=0))
    assert list(split.train.user_ids.ids) == ["0", "2", "5"]
    assert list(split.train.item_ids.ids) == ["2", "3", "10"]
    assert split.train.matrix().toarray().tolist() == [[1, 1, 1], [0, 1, 0], [1, 0, 1]]
    assert split.test.matrix().toarray().tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert split.rule == "as given (train.txt, test.txt)"
    assert split.warnings == ("1 of 4 test interactions were left out: train never saw their user or item",)


def test_one_file_and_a_valid_file(folder):
    assert len(read_interactions(folder / "train.txt")) == 6
    (folder / "valid.txt").write_text("2 2\n")
    split = load_split(folder)
    assert len(split.validation) == 1
    assert len(split.test) == 2  # the pair (2, 2) stays in validation


@given(
    st.lists(st.lists(st.integers(0, 10**18 - 1), max_size=5), min_size=1, max_size=20), st.integers(1, 40)
)
def test_parsing_equals_splitting_lines(tmp_path_factory, rows, block_bytes):
    path = tmp_path_factory.mktemp("lightgcn") / "train.txt"
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lightgcn, "_BLOCK_BYTES", block_bytes)
        users, items = lightgcn._read_pairs(path)
    expected = [(row[0], item) for row in rows for item in row[1:]]
    assert list(zip(users.tolist(), items.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("1\n2\n", ["holds no items"]),
        ("1 2\n3 x4 5\n", ["line 2", "'x4'"]),
        ("1 2\n3 4.5 5\n", ["line 2", "'4.5'"]),
        ("1 2\n3 -4 5\n", ["line 2", "'-4'"]),
        ("1 2\n3 1234567890123456789 5\n", ["line 2", "'1234567890123456789'"]),
        ("1 2\n\n3 4\n5,6\n", ["line 4", "'5,6'"]),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_bad_lines(tmp_path, monkeypatch, text, words, block_bytes):
    monkeypatch.setattr(lightgcn, "_BLOCK_BYTES", block_bytes)
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        load_split(tmp_path)
    assert "train.txt" in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_folder_without_train(tmp_path):
    (tmp_path / "test.txt").write_text("1 2\n")
    with pytest.raises(DataError, match=r"looked for train\.txt"):
        load_split(tmp_path, DataOptions(format="lightgcn"))


def test_test_ids_that_train_never_saw(tmp_path):
    (tmp_path / "train.txt").write_text("1 2 3\n2 3\n")
    (tmp_path / "test.txt").write_text("1 9\n7 2\n")
    with pytest.raises(DataError, match=r"any of the 2 test interactions .*user '1', item '9'"):
        load_split(tmp_path)


def test_needs_no_polars(folder):
    code = (
        "import sys; sys.modules['polars'] = None\n"
        "from sparsedevice.data import load_split\n"
        f"load_split({str(folder)!r}); load_split('synthetic:users=50,items=40')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
