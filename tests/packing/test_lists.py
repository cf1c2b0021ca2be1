"""Strings in two arrays, and what C does for them, beside the plain way in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsedevice.packing.bits import SLACK, pack_bits
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.symbols import END, Symbols, learn_symbols
from sparsedevice.runtime import _core

NUMBERS = st.lists(st.integers(0, 10**18 - 1), min_size=1, max_size=40)
WORDS = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\xff", b"")), min_size=1, max_size=30)


@given(NUMBERS, st.integers(0, 12))
def test_numbers_are_spelled_and_read_back(numbers, digits):
    lists = Lists.of_numbers(np.array(numbers, np.int64), digits)
    assert lists.raw() == [b"%0*d" % (digits, number) for number in numbers]
    assert lists.all_digits()
    assert lists.numbers().tolist() == numbers


@given(WORDS)
def test_strings_keep_their_bytes(words):
    lists = Lists.of(words)
    assert len(lists) == len(words)
    assert lists.raw() == words
    assert lists.with_ends() == b"".join(word + b"\xff" for word in words)
    assert lists.all_digits() == all(word.isdigit() for word in words)


@given(WORDS, st.data())
def test_strings_are_joined_from_their_ends(words, data):
    n = len(words)
    shared = data.draw(st.lists(st.integers(0, 255), min_size=n, max_size=n))
    whole, last = [], b""
    for skip, word in zip(shared, words, strict=True):
        last = last[:skip] + word  # all of it where it is shorter
        whole.append(last)
    lengths = np.empty(n, np.int64)
    ends = np.frombuffer(Lists.of(words).with_ends(), np.uint8)
    joined = _core.join_fronts(np.array(shared, np.uint8), ends, lengths)
    assert Lists.behind_one_another(lengths, np.frombuffer(joined, np.uint8)).raw() == whole


@pytest.mark.parametrize(
    ("shared", "ends", "room"), [(2, b"a\xff", 2), (1, b"a\xffb\xff", 1), (1, b"a", 1), (1, b"a\xff", 2)]
)
def test_ends_of_other_counts_are_refused(shared, ends, room):
    with pytest.raises(ValueError, match="do not fit"):
        _core.join_fronts(bytes(shared), ends, np.empty(room, np.int64))


@given(st.lists(st.tuples(st.integers(0, 2**56 - 1), st.integers(0, 56)), max_size=60))
def test_bits_stand_behind_one_another(pairs):
    numbers = [number & (1 << width) - 1 for number, width in pairs]
    whole, at = 0, 0
    for number, (_, width) in zip(numbers, pairs, strict=True):
        whole |= number << at
        at += width
    widths = np.array([width for _, width in pairs], np.int64)
    assert pack_bits(np.array(numbers, np.int64), widths) == whole.to_bytes((at + 7) // 8 + SLACK, "little")


@pytest.mark.parametrize("widths", [[57], [-1], [1, 1]])
def test_other_widths_are_refused(widths):
    with pytest.raises(ValueError, match="do not fit"):
        _core.pack_bits(np.zeros(1, np.int64), np.array(widths, np.int64))


def cut_slowly(symbols: Symbols, text: bytes) -> list[int]:
    """The symbols with the shortest codes, found by trying each of them at each place."""
    number = {raw: symbol for symbol, raw in enumerate(symbols.texts)}
    cost, last = [0] + [10**9] * len(text), [b""] * (len(text) + 1)
    for begin in range(len(text)):
        for length in range(1, min(64, len(text) - begin) + 1):
            raw = text[begin : begin + length]
            if raw in number and cost[begin] + int(symbols.bits[number[raw]]) < cost[begin + length]:
                cost[begin + length] = cost[begin] + int(symbols.bits[number[raw]])
                last[begin + length] = raw
    found, end = [], len(text)
    while end:
        found.append(number[last[end]])
        end -= len(last[end])
    return found[::-1]


@given(st.lists(st.text("ab\x00þÿ", min_size=0, max_size=9), min_size=1, max_size=40), st.integers(1, 4))
def test_text_is_cut_into_the_cheapest_symbols(words, repeats):
    strings = [word.encode() for word in words] * repeats
    text = Lists.of(strings).with_ends()
    symbols = learn_symbols(text)
    codes = symbols.cut(text)
    assert codes is not None
    expected = [symbol for raw in strings for symbol in cut_slowly(symbols, raw + bytes([END]))]
    assert codes.tolist() == expected


def test_of_symbols_that_are_alike_the_first_is_used():
    letters = [[0xF00 + byte, 0xEFF] for byte in b"aab"] + [[0, 2], [1, 2], [0xFFF, 0xEFF]]
    symbols = Symbols(np.array(letters, np.int64), 3, 0, 6, 5, 1)
    codes = symbols.cut(b"a\xffab\xff")
    assert codes is not None
    assert codes.tolist() == [0, 5, 3, 5]


def test_text_of_other_bytes_is_not_cut():
    symbols = learn_symbols(Lists.of([b"abc", b"abd"]).with_ends())
    assert symbols.cut(b"abz\xff") is None
    assert symbols.cut(b"ab") is None
