"""Every reader on small files, and the sentence of every error."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from sparsedevice.data import DataOptions, load_split, read_interactions
from sparsedevice.errors import DataError

polars = pytest.importorskip("polars", reason="polars reads the tables; it comes with the extra train")

LOG = """user_id,movieId,stars,date,title
ann,m1,5,2024-01-01,One
bob,m2,3.5,2024-01-02,Two
ann,m2,1,2024-01-03,
"""


@pytest.fixture
def write(tmp_path):
    def _write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def pairs(log):
    return [
        (log.user_ids.ids[u], log.item_ids.ids[i])
        for u, i in zip(log.user_index, log.item_index, strict=True)
    ]


def refused(path, *words, **options):
    """The one sentence that refuses a source; it must name the file and hold the words."""
    with pytest.raises(DataError) as caught:
        load_split(path, DataOptions(**options))
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence, sentence
    return sentence


def check_log(log):
    assert pairs(log) == [("ann", "m1"), ("bob", "m2"), ("ann", "m2")]
    assert log.rating.tolist() == [5, 3.5, 1]
    assert np.diff(log.timestamp).tolist() == [86_400, 86_400]
    assert log.titles == ["One", "Two"]
    assert log.user_index.dtype == log.item_index.dtype == np.int32


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_guesses_columns_and_separator(write, separator, end):
    check_log(read_interactions(write("log.csv", LOG.replace(",", separator).replace("\n", end))))


def test_csv_byte_order_mark_blank_lines_spaces_and_no_last_line_end(write):
    text = "\ufeff" + LOG.replace("ann,m1", "\n ann , m1 ").rstrip("\n")
    check_log(read_interactions(write("log.csv", text)))


def test_csv_compressed(write):
    check_log(read_interactions(write("log.csv.gz", gzip.compress(LOG.encode()))))


def test_tsv_and_parquet_read_the_same(write, tmp_path):
    tsv = read_interactions(write("log.tsv", LOG.replace(",", "\t")))
    check_log(tsv)
    frame = polars.read_csv(LOG.encode(), try_parse_dates=True)
    assert frame.schema["date"] == polars.Date
    frame.write_parquet(tmp_path / "log.parquet")
    parquet = read_interactions(tmp_path / "log.parquet")
    check_log(parquet)
    assert parquet.fingerprint() == tsv.fingerprint()


def test_parquet_integers_and_moments(tmp_path):
    moment = polars.Series(["2024-01-01T00:00:00", "2024-01-01T01:00:00"]).str.to_datetime(time_zone="UTC")
    polars.DataFrame({"uid": [7, 8], "sku": [1, 2], "score": [1, 2], "ts": moment}).write_parquet(
        tmp_path / "x.pq"
    )
    log = read_interactions(tmp_path / "x.pq")
    assert pairs(log) == [("7", "1"), ("8", "2")]
    assert log.timestamp.tolist() == [1_704_067_200, 1_704_070_800]


def test_columns_are_named_by_options(write):
    path = write("log.csv", "who,what,stars,when\na,x,good,1\nb,y,bad,2\n")
    refused(path, "log.csv", "user", "'who', 'what', 'stars', 'when'", "--user-column")
    named = {"user_column": "who", "item_column": "what", "timestamp_column": "when"}
    refused(path, "line 2", "rating 'good' is not a number", "--rating-column -", **named)
    log = read_interactions(path, DataOptions(**named, rating_column="-"))
    assert log.rating is None
    assert log.timestamp.tolist() == [1, 2]
    refused(path, "no column 'nobody'", "--user-column", user_column="nobody", item_column="what")


def test_ids_stay_text(write):
    log = read_interactions(write("log.csv", "user,item\n007,1.50\n7,1.5\n"))
    assert pairs(log) == [("007", "1.50"), ("7", "1.5")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,10\n2,20\n", (None, None)),
        ("1,10,4\n2,20,5\n", ([4, 5], None)),
        ("1,10,881250949\n2,20,881250950\n", (None, [881250949, 881250950])),
        ("1,10,4,100\n2,20,5,200\n", ([4, 5], [100, 200])),
    ],
)
def test_headerless_file(write, text, expected):
    log = read_interactions(write("log.csv", text))
    assert pairs(log) == [("1", "10"), ("2", "20")]
    assert (
        None if log.rating is None else log.rating.tolist(),
        None if log.timestamp is None else log.timestamp.tolist(),
    ) == expected


def test_wide_headerless_file_needs_column_numbers(write):
    path = write("log.csv", "9,1,10,x,4\n9,2,20,y,5\n")
    refused(path, "line 1 holds data, not a header", "--user-column 1")
    log = read_interactions(path, DataOptions(user_column="2", item_column="3", rating_column="5"))
    assert pairs(log) == [("1", "10"), ("2", "20")]
    assert log.rating.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("first", "seconds"),
    [
        ("2024-01-01", 1_704_067_200),
        ("2024-01-01 01:00", 1_704_070_800),
        ("2024-01-01T00:00:01.5", 1_704_067_201),
        ("2024-01-01T00:00:00Z", 1_704_067_200),
        ("2024-01-01 02:00:00+02:00", 1_704_067_200),
        ("1704067200.75", 1_704_067_200),
        ("1704067200123456789", 1_704_067_200_123_456_789),
    ],
)
def test_timestamps(write, first, seconds):
    log = read_interactions(write("log.csv", f"user,item,time\na,x,{first}\nb,y,{first}\n"))
    assert log.timestamp.tolist() == [seconds, seconds]


def test_folder_of_tables_is_a_given_split(write):
    write("d/train.csv", "user,item,rating\na,x,1\nb,y,2\na,y,3\n")
    write("d/valid.csv", "user,item,rating\nb,x,4\n")
    folder = write("d/test.csv", "user,item,rating\nb,x,4\na,z,2\nc,x,1\nb,y,5\n").parent
    write("d/test.csv", "user,item,rating\na,z,2\nc,x,1\nb,y,5\n")
    refused(folder, "any of the 2 test", "'a'", "'z'")  # b, y is in train already
    write("d/test.csv", "user,item,rating\na,z,2\nc,x,1\nb,x,5\n")
    (folder / "valid.csv").unlink()
    split = load_split(folder)
    assert pairs(split.test) == [("b", "x")]
    assert split.warnings == ("2 of 3 test interactions were left out: train never saw their user or item",)
    assert "train.csv, test.csv" in split.rule


MOVIES = "1::Am\xe9lie (2001)::Comedy\n2::Alien: One (1979)::Horror\n"


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_movielens_dat(write, encoding):
    write("ml/movies.dat", MOVIES.encode(encoding))
    folder = write("ml/ratings.dat", "1::2::5::100\n1::1::4::200\n2::1::3::300\n").parent
    log = read_interactions(folder)
    assert pairs(log) == [("1", "2"), ("1", "1"), ("2", "1")]
    assert log.titles == ["Alien: One (1979)", "Am\xe9lie (2001)"]
    assert log.timestamp.tolist() == [100, 200, 300]
    assert read_interactions(folder / "ratings.dat").fingerprint() == log.fingerprint()


def test_movielens_data_and_csv(write):
    write("a/u.item", "10|Ten (1995)|x\n20|Twenty (1996)|x\n")
    data = read_interactions(write("a/u.data", "1\t10\t5\t100\n2\t20\t4\t200\n").parent)
    write("b/movies.csv", 'movieId,title,genres\n10,Ten (1995),x\n20,"Twenty (1996)",x\n')
    csv = read_interactions(
        write("b/ratings.csv", "userId,movieId,rating,timestamp\n1,10,5,100\n2,20,4,200\n")
    )
    write("c/movies.dat", "10::Ten (1995)::x\n20::Twenty (1996)::x\n")
    mixed = write("c/ratings.csv", "user_id,item_id,rating,timestamp\n1,10,5,100\n2,20,4,200\n").parent
    assert data.titles == ["Ten (1995)", "Twenty (1996)"]
    assert data.fingerprint() == csv.fingerprint() == read_interactions(mixed).fingerprint()


def test_movielens_errors(write, tmp_path):
    folder = write("ml/ratings.dat", "1::2::5::100\n1:1::4::200\n").parent
    refused(folder, "ratings.dat, line 2", "3 fields where 4 are expected")
    write("ml/ratings.dat", "1::2::5::100\n2::1::x::200\n")
    refused(folder, "ratings.dat, line 2", "rating 'x'")
    write("ml/ratings.dat", "1::2::5::100\n2::1::4::200\n")
    write("ml/movies.dat", "1::One::x\n2 Two\n")
    refused(folder, "movies.dat, line 2", "no title")
    write("five/u.data", "1\t2\t3\t4\t5\n")
    refused(tmp_path / "five", "u.data, line 1", "5 fields")
    refused(tmp_path, "looked for u.data, ratings.dat, ratings.csv", format="movielens")


def test_recbole(write):
    write("r/shop.item", "item_id:token\tname:token_seq\nx\tSilver Spoon\ny\tTin Cup\n")
    path = write(
        "r/shop.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tx\t5\t1.5\nb\ty\t4\t2\n",
    )
    log = read_interactions(path)
    assert pairs(log) == [("a", "x"), ("b", "y")]
    assert log.titles == ["Silver Spoon", "Tin Cup"]
    assert log.timestamp.tolist() == [1, 2]
    assert read_interactions(path.parent).fingerprint() == log.fingerprint()
    write("r/other.inter", "user_id:token\titem_id:token\n")
    refused(path.parent, "other.inter, shop.inter")


def test_recbole_parts(write):
    head = "user_id:token\titem_id:token\n"
    write("r/s.train.inter", head + "a\tx\nb\ty\na\ty\n")
    write("r/s.valid.inter", head + "b\tx\n")
    folder = write("r/s.test.inter", head + "c\tx\na\ty\nb\tx\n").parent
    refused(folder, "any of the 1 test")  # c is new; the other two pairs are in earlier parts
    write("r/s.train.inter", head + "a\tx\nb\ty\na\ty\nc\ty\n")
    split = load_split(folder)
    assert pairs(split.validation) == [("b", "x")]
    assert pairs(split.test) == [("c", "x")]
    assert "s.valid.inter" in split.rule
    whole = load_split(folder, DataOptions(split="random", test_fraction=0, validation_fraction=0))
    assert len(whole.train) == 6
    assert whole.test is None


def test_recbole_errors(write, tmp_path):
    refused(write("a.inter", "user\titem\n1\t2\n"), "line 1", "'user' has no type")
    refused(write("b.inter", "u:token\tu:float\n1\t2\n"), "line 1", "'u' twice")
    refused(tmp_path / "nothing", "no file or folder", format="recbole")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "NAME.inter", format="recbole")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\nuser,item\n", ["line 1 is blank"]),
        ("user,item\n", ["holds no interactions"]),
        ("user,item\n\n\n", ["holds no interactions"]),
        ("user,thing\na,x\n", ["item", "'user', 'thing'", "--item-column"]),
        ("user,item,user\na,x,b\n", ["line 1", "'user' twice"]),
        ("user,item,rating\na,x,1\n\nb,y,two\n", ["line 4", "rating 'two' is not a number"]),
        ("user,item,rating\na,x,1\nb,y,\n", ["line 3", "rating '' is not a number"]),
        ("user,item,rating\na,x,nan\nb,y,1\n", ["line 2", "rating 'nan'"]),
        ("user,item,rating\na,x,1e99\nb,y,1\n", ["line 2", "rating '1e99'"]),
        ("user,item,time\na,x,1\nb,y,soon\n", ["line 3", "timestamp 'soon'"]),
        ("user,item,time\na,x,2024-01-01\nb,y,2024-13-01\n", ["line 3", "timestamp '2024-13-01'"]),
        ("user,item\na,x\n,y\n", ["line 3", "the user is empty"]),
        ("user,item\na,x\nb,\n", ["line 3", "the item is empty"]),
        ("user,item,note\na,x,1\nb,y\n", ["line 3", "2 fields where 3 are expected"]),
        ("user,item\na,x\nb,y,z\n", ["line 3", "3 fields where 2 are expected"]),
        ('user,item,title,rating\na,x,"one\ntwo",1\nb,y,t,bad\n', ["line 4", "rating 'bad'"]),
        ('user,item\na,"x\nb,y\n', ["line 2", "check the quotes"]),
        (b"user,item\na,x\nb,caf\xe9\n", ["line 3", "byte 6", "0xe9", "UTF-8"]),
        ("user,item\na,x\n".encode("utf-16"), ["line 1", "byte 1", "0xff", "UTF-8"]),
        ("user,item\na,x\na,y\n", ["only one user", "'a'"]),
        ("user,item\na,x\nb,x\n", ["only one item", "'x'"]),
    ],
)
def test_bad_csv_is_refused_in_one_sentence(write, text, words):
    path = write("log.csv", text)
    refused(path, "log.csv", *words)


def test_empty_last_column_is_not_an_error(write):
    log = read_interactions(write("log.csv", "user,item,note\na,x,\nb,y,hm\n"))
    assert len(log) == 2


def test_bad_parquet(write, tmp_path):
    refused(write("x.parquet", "no parquet at all"), "x.parquet", "Parquet")
    polars.DataFrame({"user": ["a", None], "item": [1, 2]}).write_parquet(tmp_path / "y.parquet")
    refused(tmp_path / "y.parquet", "y.parquet, row 2", "the user is empty")
    polars.DataFrame({"user": ["a", "b"], "item": [1, 2], "rating": ["1", "x"]}).write_parquet(
        tmp_path / "z.parquet"
    )
    refused(tmp_path / "z.parquet", "row 2", "rating 'x'")
    polars.DataFrame({"user": ["a", "b"], "thing": [1, 2]}).write_parquet(tmp_path / "w.parquet")
    refused(tmp_path / "w.parquet", "'user', 'thing'", "--item-column")


def test_missing_and_unknown_sources(write, tmp_path):
    refused(tmp_path / "nowhere.csv", "no file or folder", "nowhere.csv")
    refused(tmp_path, "looked for train.txt", "ratings.csv")
    refused(write("log.xlsx", "x"), "log.xlsx", "--format")
    refused(tmp_path, "train.csv", format="csv")
    refused("synthetic:cats=3", "'cats=3'", "users")
    refused("synthetic:users=many", "'users=many'", "number")


def test_a_long_file_reads_in_its_own_order(write):
    n = 50_000
    lines = "".join(f"u{k * 7919 % 5003},i{k * 104729 % 3001},{k}\n" for k in range(n))
    log = read_interactions(write("log.csv", "user,item,time\n" + lines))
    assert len(log) == n
    assert (np.diff(log.timestamp) == 1).all()
    assert pairs(log)[-1] == (f"u{(n - 1) * 7919 % 5003}", f"i{(n - 1) * 104729 % 3001}")
    first_seen = np.unique(log.user_index, return_index=True)[1]
    assert (np.diff(first_seen) > 0).all()
    bad = write("bad.csv", "user,item,time\n" + lines + "u,i,never\n")
    assert re.search(rf"line {n + 2}: timestamp 'never'", refused(bad))
