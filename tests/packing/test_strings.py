"""Ids and titles of every kind come back, are found, and take few bytes."""

from __future__ import annotations

import random
import zlib
from math import prod

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sparsedevice.packing import PackedFile, pack
from sparsedevice.packing.bits import pack_bits, unpack_bits
from sparsedevice.packing.coded import COLUMNS, NUMBERS, TEXT, CodedList, code_list
from sparsedevice.packing.columns import code_columns, number_bits
from sparsedevice.packing.lists import Lists
from sparsedevice.runtime.core import CoreRecommender

RNG = random.Random(0)
HEX, ALNUM = "0123456789abcdef", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WORDS = [
    "the",
    "a",
    "of",
    "and",
    "night",
    "day",
    "river",
    "stone",
    "winter",
    "silent",
    "orbit",
    "last",
    "first",
    "road",
    "house",
    "blue",
]


def text(n: int) -> list[str]:
    return [f"{' '.join(RNG.choices(WORDS, k=4)).title()} ({1900 + i % 100}) {i}" for i in range(n)]


KINDS = {
    "consecutive": (NUMBERS, [str(i) for i in range(1000)]),
    "runs": (NUMBERS, [str(i) for k in range(7) for i in range(k, 1000, 7)]),
    "random": (NUMBERS, [str(i) for i in RNG.sample(range(2**32), 1000)]),
    "extremes": (NUMBERS, ["4294967295", "0", "4294967294", "1"]),
    "one": (NUMBERS, ["7"]),
    "hex": (COLUMNS, ["".join(RNG.choices(HEX, k=32)) for _ in range(500)]),
    "codes": (COLUMNS, ["B0" + "".join(RNG.choices(ALNUM, k=8)) for _ in range(500)]),
    "serial numbers": (COLUMNS, [f"{i:09}" for i in RNG.sample(range(10**9), 500)]),
    "bits": (COLUMNS, [f"{i:064b}" for i in (0, 2**64 - 1, *(RNG.getrandbits(64) for _ in range(500)))]),
    "one letter": (COLUMNS, ["x"]),
    "empty": (COLUMNS, [""]),
    "sorted codes": (COLUMNS, sorted("B0" + "".join(RNG.choices(ALNUM, k=8)) for _ in range(500))),
    "numbered": (COLUMNS, [f"tt{i:07}" for k in range(7) for i in range(k, 1001, 7)]),
    "leading zeros": (NUMBERS, [f"{i:02}" for i in range(200)]),
    "rising serial numbers": (NUMBERS, [f"{i:07}" for i in sorted(RNG.sample(range(12_000_000), 500))]),
    "zeros of two lengths": (TEXT, ["007", "0008", "12345"]),
    "zeros in vain": (TEXT, ["007", "12"]),
    "too large": (TEXT, ["4294967296", "5"]),
    "words": (TEXT, text(1000)),
    "urls": (TEXT, [f"https://example.com/{RNG.choice(WORDS)}/{i}" for i in range(500)]),
    "long": (TEXT, ["x" * 65535, "ß" * 32767, "", "x" * 65534]),
    "any bytes": (TEXT, [chr(i) * (1 + i % 3) for i in range(0x780, 0x900)]),
}


def write(path, ids, titles=None):
    n = len(ids)
    items = sp.csr_array(np.ones((n, 1), np.float32))
    pack(path, items, item_ids=ids, titles=titles)
    return PackedFile.open(path)


@pytest.mark.parametrize("name", KINDS)
def test_strings_come_back_and_are_found(name, tmp_path):
    coding, ids = KINDS[name]
    packed = write(tmp_path / "m.sd", ids, ids[::-1])
    core = CoreRecommender.open(tmp_path / "m.sd")
    assert packed.vocabulary.ids.coded.head.coding == coding  # type: ignore[attr-defined]
    assert list(packed.vocabulary.ids) == ids
    assert list(packed.titles or ()) == ids[::-1]
    for row in {0, 1, 7, 8, 15, 16, 17, len(ids) - 1} & set(range(len(ids))):
        assert packed.vocabulary.ids[row] == ids[row]
        assert packed.vocabulary.row(ids[row]) == row
    every = core.recommend(history=[], k=len(ids))
    assert every.items == ids
    assert every.titles == ids[::-1]
    assert core.recommend(history=ids, k=1, exclude="none").unknown == []
    strangers = [
        "",
        "-1",
        "00",
        "1.5",
        "4294967296",
        "99999999999",
        ids[0] + "0",
        "0" + ids[0],
        ids[0][1:],
        "é",
    ]
    unknown = [i for i in strangers if i not in set(ids)]
    assert core.recommend(history=strangers, k=1).unknown == unknown
    assert packed.vocabulary.rows(unknown).tolist() == [-1] * len(unknown)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_list_comes_back(strings):
    encoded = [s.encode("utf-8", "replace") for s in strings]
    parts = code_list(Lists.of(encoded))
    assert parts is not None
    coded = CodedList(np.frombuffer(parts[0], np.uint8), np.frombuffer(parts[1], np.uint8), len(encoded))
    assert coded.head.fits(len(encoded), len(parts[0]), len(parts[1]))
    assert coded.all().raw() == encoded
    assert [coded.raw(row) for row in range(len(encoded))] == encoded


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_any_numbers_come_back(numbers, digits):
    encoded = [b"%0*d" % (digits, number) for number in numbers]
    starts, codes = (np.frombuffer(part, np.uint8) for part in code_list(Lists.of(encoded)) or ())
    coded = CodedList(starts, codes, len(encoded))
    assert coded.head.fits(len(encoded), len(starts), len(codes))
    assert coded.all().raw() == encoded
    assert [coded.raw(row) for row in range(len(encoded))] == encoded


@given(st.lists(st.sets(st.integers(0, 254), min_size=1), max_size=64), st.integers(1, 20), st.randoms())
@settings(max_examples=60, deadline=None)
def test_any_strings_of_one_length_come_back(alphabets, n, rng):
    letters = [sorted(alphabet) for alphabet in alphabets]
    ends = [bytes(alphabet[end] for alphabet in letters) for end in (0, -1)]
    encoded = [bytes(rng.choice(alphabet) for alphabet in letters) for _ in range(n)] + ends
    parts = code_columns(Lists.of(encoded))
    columns = [sorted(set(column)) for column in zip(*encoded, strict=True)]
    bits = number_bits([len(column) for column in columns])
    if sum(bits) > 255:
        assert parts is None
        return
    assert parts is not None
    starts, codes = (np.frombuffer(part, np.uint8) for part in code_list(Lists.of(encoded)) or ())
    coded = CodedList(starts, codes, len(encoded))
    assert coded.head.fits(len(encoded), len(starts), len(codes))
    assert coded.all().raw() == encoded
    assert [coded.raw(row) for row in range(len(encoded))] == encoded


@given(st.lists(st.integers(0, 36**7 - 1), min_size=1, max_size=80), st.integers(0, 80), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_rising_strings_come_back(numbers, shuffled, wide):
    """Sorted but for some at the end, of one number or of two."""
    rising = sorted(numbers)[: len(numbers) - shuffled] + numbers[max(0, len(numbers) - shuffled) :]
    encoded = [f"{number:0{12 if wide else 9}x}".encode() for number in rising]
    starts, codes = (np.frombuffer(part, np.uint8) for part in code_list(Lists.of(encoded)) or ())
    coded = CodedList(starts, codes, len(encoded))
    assert coded.head.fits(len(encoded), len(starts), len(codes))
    assert coded.all().raw() == encoded
    assert [coded.raw(row) for row in range(len(encoded))] == encoded


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 31, 32, 33, 500])
def test_blocks_are_taken_where_they_are_smaller(n):
    """A list of the same strings in no order takes the bits of each; in order, no more than that."""
    ordered = [f"tt{i:07}".encode() for i in range(n)]
    mixed = random.Random(0).sample(ordered, n)
    ordered_bytes, mixed_bytes = (
        sum(map(len, code_list(Lists.of(strings)) or ())) for strings in (ordered, mixed)
    )
    assert ordered_bytes <= mixed_bytes
    assert ((code_list(Lists.of(ordered)) or (b"", bytes(3)))[1][2] > 0) == (ordered_bytes < mixed_bytes)


@given(st.lists(st.integers(1, 256), max_size=9))
@example([16] * 8)
@example([2] * 12)
@example([1, 256, 256, 256, 256, 1])
def test_numbers_take_the_fewest_bits(sizes):
    """All ways to cut columns into numbers, the one whose first number has the most columns before others."""

    def cut(rest: list[int]) -> tuple[int, list[int]]:
        if not rest:
            return 0, []
        ways = []
        for count in range(len(rest), 0, -1):
            if prod(rest[:count]) <= 2**32:
                bits, (sum_, others) = (prod(rest[:count]) - 1).bit_length(), cut(rest[count:])
                ways.append((bits + sum_, [bits] + (count - 1) * [0] + others))
        return min(ways, key=lambda way: way[0])

    assert number_bits(sizes) == cut(sizes)[1]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_bits_come_back(numbers):
    widths = np.array([max(1, n.bit_length()) for n in numbers], np.int64)
    data = np.frombuffer(pack_bits(np.array(numbers, np.int64), widths), np.uint8)
    at = np.cumsum(widths) - widths
    assert unpack_bits(data, at, widths).tolist() == numbers


@pytest.mark.parametrize(
    ("name", "most"), [("runs", 1.2), ("hex", 16.4), ("codes", 5.7), ("sorted codes", 4.9), ("numbered", 1.2)]
)
def test_ids_take_few_bytes(name, most):
    encoded = [s.encode() for s in KINDS[name][1]]
    assert sum(map(len, code_list(Lists.of(encoded)) or ())) < most * len(encoded)


def test_titles_take_about_what_deflate_would():
    encoded = [s.encode() for s in text(4000)]
    coded = sum(map(len, code_list(Lists.of(encoded)) or ()))
    assert coded < 1.15 * len(zlib.compress(b"\n".join(encoded), 9))
