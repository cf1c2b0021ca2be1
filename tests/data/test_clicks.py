from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import ClickSchema
from sparsedevice.data.load_clicks import load_clicks, read_clicks
from sparsedevice.errors import ConfigError, DataError

pytest.importorskip("polars")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

TABLE = """click,user,tags,price,hour
1,a,x|y,1.5,3
0,b,x,,4
0,a,z|y|x,2.5,3
1,c,,9.5,4
"""
LISTS = ClickOptions(lists=("tags",), min_count=1, test_fraction=0, validation_fraction=0)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_table_becomes_rows_of_one_embedding_table(tmp_path: Path) -> None:
    split = load_clicks(write(tmp_path / "log.csv", TABLE), LISTS)
    schema = split.schema
    assert [(f.name, f.values, f.first_row, f.slots) for f in schema.categories] == [
        ("user", ("a", "b", "c"), 0, 1),
        ("tags", ("x", "y", "z", ""), 4, 3),
        ("hour", ("3", "4"), 9, 1),
    ]
    assert schema.n_rows == 12
    assert split.train.label.tolist() == [1, 0, 0, 1]
    assert split.train.rows.tolist() == [
        [1, 5, 6, -1, 10], [2, 5, -1, -1, 11], [1, 7, 6, 5, 10], [3, 8, -1, -1, 11],
    ]  # fmt: skip
    known = np.log1p([1.5, 2.5, 9.5])
    standard = (known - known.mean()) / known.std()
    expected = [standard[0], 0.0, standard[1], standard[2]]
    np.testing.assert_allclose(split.train.numbers[:, 0], expected, rtol=1e-6)
    assert (split.validation, split.test) == (None, None)
    assert ClickSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_rare_and_unseen_categories_share_a_row(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "log.train.libfm", "1 5:1 9:1\n0 5:1 8:1\n-1 6:1 9:1\n")
    write(tmp_path / "data" / "log.test.libfm", "1 7:1 9:1\n0 5:1 8:1\n")
    split = load_clicks(tmp_path / "data", ClickOptions(validation_fraction=0))
    assert split.rule == "given"
    assert [field.values for field in split.schema.categories] == [("5",), ("9",)]
    assert split.train.rows.tolist() == [[1, 3], [1, 2], [0, 3]]
    assert split.test is not None
    assert split.test.rows.tolist() == [[0, 3], [1, 2]]
    assert split.train.label.tolist() == [1, 0, 0]


def test_libfm_numbers_are_told_from_categories(tmp_path: Path) -> None:
    log = read_clicks(write(tmp_path / "log.libfm", "1 5:1 9:0.5\n0 6:1 9:2 # remark\n\n"))
    assert log.number_names == ("feature 9",)
    np.testing.assert_array_equal(log.numbers, [[0.5], [2.0]])
    assert [list(column.values) for column in log.categories] == [["5", "6"]]


def test_a_random_split_is_by_row_and_by_seed(tmp_path: Path) -> None:
    lines = "".join(f"{n % 2}\t{n}\t{n % 7}\n" for n in range(200))
    path = write(tmp_path / "log.tsv", lines)
    splits = [load_clicks(path, ClickOptions(seed=seed)) for seed in (1, 1, 2)]
    assert [len(splits[0].train), len(splits[0].validation or []), len(splits[0].test or [])] == [160, 20, 20]
    assert splits[0].fingerprint() == splits[1].fingerprint() != splits[2].fingerprint()


def test_movielens_ratings_are_clicks(tmp_path: Path) -> None:
    write(tmp_path / "ratings.csv", "user_id,item_id,rating\n1,10,5\n1,11,3\n2,10,4\n2,11,1\n")
    write(tmp_path / "users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n")
    write(tmp_path / "movies.dat", "10::Toy Story (1995)::Animation|Comedy\n11::Heat (1995)::Action\n")
    log = read_clicks(tmp_path)
    assert log.label.tolist() == [1, 0, 1, 0]
    assert [column.name for column in log.categories] == [
        "user", "item", "gender", "age", "occupation", "zip", "genres",
    ]  # fmt: skip
    genres = log.categories[-1]
    assert [[genres.values[i] for i in row if i >= 0] for row in genres.index] == [
        ["Animation", "Comedy"], ["Action"], ["Animation", "Comedy"], ["Action"],
    ]  # fmt: skip
    write(tmp_path / "users.dat", "1::F::1::10::48067\n")
    with pytest.raises(DataError, match=r"users\.dat has no line for user '2'"):
        read_clicks(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.csv", "click,user\n1,a\n2,b\n", r"log\.csv, line 3: click '2' is not binary"),
        ("log.csv", "click,user\n\n1,a\n,b\n", r"line 4: click '' is not binary"),
        ("log.csv", "user,price\na,1.5\n", "no column that looks like the label: it has 'user', 'price'"),
        ("log.csv", "", "is empty"),
        ("log.csv", "click,user\n", "a header and no rows"),
        ("log.csv", "click,user,item\n1,a,b\n0,a\n", "line 3: 2 fields where 3 are expected"),
        ("log.csv", "click,I1\n1,2\n0,two\n", "line 3: I1 'two' is not a number"),
        ("log.csv", "click,a,a\n1,2,3\n", "column 'a' twice"),
        ("log.csv", "click,a\n1,x\n1,y\n", r"train holds 2 rows and 1 kind\(s\) of label"),
        ("log.libfm", "", "is empty"),
        ("log.libfm", "1 5:1\n3 5:1\n", r"log\.libfm, line 2: label '3' is not binary"),
        ("log.libfm", "1 5:1\n0 5=1\n", "line 2: '5=1' is not index:value"),
        ("log.libfm", "1 5:1\n0 5:1 6:1\n", "line 2: 2 pairs where 1 pairs as on line 1"),
        ("log.libfm", "1 5:1\n0 6:3\n", "line 2: pair 1 is 6:3, but"),
        ("log.libfm", "1 5:1\n0\n", "line 2: 0 pairs"),
        ("log.what", "1 5:1\n", "format .* cannot be told"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=message):
        load_clicks(path, ClickOptions(test_fraction=0, validation_fraction=0))


def test_a_missing_column_and_bad_options_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", TABLE)
    with pytest.raises(DataError, match="no column 'device': it has 'click', 'user'"):
        load_clicks(path, ClickOptions(categorical=("device",)))
    with pytest.raises(DataError, match="there is no file"):
        load_clicks(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no click log"):
        load_clicks(tmp_path / "empty")
    with pytest.raises(DataError, match="no train part"):
        load_clicks(path, ClickOptions(split="given"))
    for bad, message in (
        ({"format": "parquet"}, "unknown for click logs"),
        ({"test_fraction": 0.6, "validation_fraction": 0.5}, "leave nothing"),
        ({"numeric": ("a",), "lists": ("a",)}, "named twice"),
        ({"min_count": 0}, "min_count 0"),
        ({"separator": "::"}, "one plain character"),
    ):
        with pytest.raises(ConfigError, match=message):
            ClickOptions(**bad)
    assert ClickOptions.from_json(json.loads(json.dumps(LISTS.to_json()))) == LISTS


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("ctr-frappe", 86_582, (10, 0)), ("ctr-criteo-sample", 8_000, (26, 13))]
)
def test_real_click_logs(name: str, rows: int, columns: tuple[int, int]) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {name} is not at {SHARED}")
    split = load_clicks(SHARED / name)
    assert sum(len(part) for part in (split.train, split.validation, split.test) if part is not None) == rows
    assert (len(split.schema.categories), len(split.schema.numbers)) == columns
    assert split.train.rows.max() < split.schema.n_rows
