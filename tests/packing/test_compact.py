"""The compact coding: the same bytes again, close to the entropy, and safe on any bytes."""

from __future__ import annotations

import contextlib
import math
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import PackedFile, compact, expand, pack
from sparsedevice.packing.compact import expand_bytes
from sparsedevice.packing.compact_body import coded_columns
from sparsedevice.packing.entropy import (
    CODE_BITS,
    ONLY_SYMBOL,
    SLACK,
    STREAMS,
    Coded,
    Gaps,
    coded_bits,
    decode_bytes,
    decode_columns,
    encode_bytes,
    encode_columns,
    fit_codes,
    gap_symbols,
    low_bits,
    symbol_counts,
)
from sparsedevice.packing.format import Kind, decode_head
from sparsedevice.packing.quantize import Rows
from tests.packing.small import patched, write_small

FORMS = [
    (values, layout, similarity)
    for values, layout in [
        ("int8", "sliced"),
        ("int4", "sliced"),
        ("int8", "csr"),
        ("int4", "csr"),
        ("f32", "csr"),
        ("f16", "csr"),
    ]
    for similarity in ("cosine", "dot")
]
HEADER = 72


def table(rng: np.random.Generator, n: int, dim: int, least: int, most: int) -> sp.csr_array:
    """Random sparse rows, columns uniform."""
    lengths = rng.integers(least, most + 1, n)
    columns = np.concatenate([np.sort(rng.choice(dim, k, replace=False)) for k in lengths])
    values = rng.normal(size=len(columns)).astype(np.float32)
    return sp.csr_array((values, columns, np.concatenate(([0], np.cumsum(lengths)))), shape=(n, dim))


def round_trip(path: Path) -> dict:
    said = compact(path, path.with_suffix(".sdz"))
    assert said["bytes"] == path.with_suffix(".sdz").stat().st_size <= path.stat().st_size
    done = expand(path.with_suffix(".sdz"), path.with_suffix(".again"))
    assert path.with_suffix(".again").read_bytes() == path.read_bytes()
    assert done["kind"] == said["kind"]
    return said


@pytest.mark.parametrize(("values", "layout", "similarity"), FORMS)
def test_every_section_comes_back(values, layout, similarity, tmp_path):
    write_small(tmp_path / "a.sd", values=values, layout=layout, similarity=similarity)
    assert round_trip(tmp_path / "a.sd")["kind"] == "compact"


IDS = st.one_of(
    st.integers(0, 10**18).map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text("ab", min_size=250, max_size=300),
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    form=st.sampled_from(FORMS),
    dim=st.sampled_from([1, 2, 16, 255, 256, 257, 4096]),
    ids=st.lists(IDS, min_size=1, max_size=30, unique=True),
    most=st.integers(0, 12),
)
def test_any_file(tmp_path_factory, seed, form, dim, ids, most):
    values, layout, similarity = form
    path = tmp_path_factory.mktemp("compact") / "a.sd"
    pack(
        path,
        table(np.random.default_rng(seed), len(ids), dim, 0, min(most, dim)),
        item_ids=ids,
        values=values,
        layout=layout,
        similarity=similarity,
    )
    round_trip(path)


def followed(coded: Coded) -> Coded:
    """With the zeros that stand behind the streams in a file."""
    return Coded(bytes(coded.streams) + bytes(SLACK), coded.stream_bytes, coded.code_lengths)


def code_book(lengths: np.ndarray) -> dict[str, int]:
    """The symbol of each canonical code, a string of 0 and 1."""
    if (lengths == ONLY_SYMBOL).any():
        return {"": int(np.flatnonzero(lengths)[0])}
    book, slot = {}, 0
    for length in range(1, CODE_BITS + 1):
        for symbol in np.flatnonzero(lengths == length).tolist():
            book[format(slot >> (CODE_BITS - length), f"0{length}b")] = symbol
            slot += 1 << (CODE_BITS - length)
    assert slot in (0, 1 << CODE_BITS)
    return book


def reference_decode(coded: Coded, indptr: np.ndarray, gaps: Gaps) -> list[int]:
    """The decoder as docs/compact.md describes it, one bit after the other."""
    ends = np.cumsum(coded.stream_bytes).tolist()
    bits = [
        "".join(f"{byte:08b}" for byte in coded.streams[end - size : end])
        for end, size in zip(ends, coded.stream_bytes.tolist(), strict=True)
    ]
    books = [code_book(lengths) for lengths in coded.code_lengths]
    at = [0] * STREAMS
    columns: list[int] = []
    for row, (begin, end) in enumerate(zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True)):
        stream, column = row % STREAMS, -1
        for _ in range(begin, end):
            book, code = books[(column + 1) >> gaps.shift], ""
            while code not in book:
                code += bits[stream][at[stream]]
                at[stream] += 1
            low = bits[stream][at[stream] : at[stream] + gaps.low_bits]
            at[stream] += gaps.low_bits
            column += 1 + (book[code] << gaps.low_bits | int(low or "0", 2))
            columns.append(column)
    assert all(len(own) - 8 < end <= len(own) for own, end in zip(bits, at, strict=True))
    return columns


@pytest.mark.parametrize(("dim", "k"), [(64, 6), (256, 8), (300, 12), (1024, 20)])
def test_uniform_columns_come_within_a_tenth_of_their_entropy(dim, k):
    """log2 C(dim, k) bits a row is the least that any coding needs where columns have no structure."""
    rows = table(np.random.default_rng(1), 8_000, dim, k, k)
    rows.sort_indices()
    indptr, columns = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
    gaps, coded = coded_columns(Rows(indptr, columns, np.ones(8_000 * k, np.int8), np.ones(8_000), dim))
    assert (decode_columns(followed(coded), indptr, dim, gaps) == columns).all()
    assert reference_decode(followed(coded), indptr, gaps) == columns.tolist()
    size = len(coded.streams) + len(zlib.compress(coded.code_lengths.tobytes(), 9))
    assert 8 * size < 1.1 * 8_000 * math.log2(math.comb(dim, k))


@pytest.mark.parametrize("most", [0, 1, 5, 12])
@pytest.mark.parametrize(
    ("dim", "shift"), [(1, 0), (2, 1), (12, 0), (200, 0), (200, 3), (300, 1), (4096, 12)]
)
def test_rows_of_any_lengths_are_decoded_as_described(dim, shift, most):
    for n in (1, 7, 8, 9, 100):
        rows = table(np.random.default_rng(n), n, dim, 0, min(most, dim))
        rows.sort_indices()
        indptr, columns = rows.indptr.astype(np.int64), rows.indices.astype(np.int32)
        gaps = Gaps(low_bits(dim), shift)
        symbols, low, which = gap_symbols(indptr, columns, gaps)
        code_lengths = fit_codes(symbol_counts(symbols, which, gaps.tables(dim), gaps.symbols(dim)))
        coded = followed(encode_columns(symbols, low, which, gaps, code_lengths, indptr))
        assert decode_columns(coded, indptr, dim, gaps).tolist() == columns.tolist()
        assert reference_decode(coded, indptr, gaps) == columns.tolist()


@given(st.binary(max_size=700))
def test_bytes_come_back(data):
    array = np.frombuffer(data, np.uint8)
    assert decode_bytes(followed(encode_bytes(array)), len(data)).tobytes() == data


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=256))
def test_codes_are_complete_and_close_to_the_entropy(counts):
    array = np.array(counts)
    lengths = fit_codes(array[None])[0]
    used = array > 0
    assert ((lengths > 0) == used).all()
    if used.sum() > 1:
        assert (2.0 ** -lengths[used].astype(float)).sum() == 1
        share = array[used] / array.sum()
        entropy = -(share * np.log2(share)).sum() * array.sum()
        # A code of limited length is not longer than one for half the shares and half even ones.
        assert entropy <= coded_bits(array, lengths) <= entropy + 2 * array.sum()


def test_structure_is_used(tmp_path):
    """Where columns come in pairs, a row costs less than if they were independent."""
    rng = np.random.default_rng(2)
    n = 5000
    pairs = np.sort(np.argsort(rng.random((n, 32)), axis=1)[:, :3], axis=1)
    columns = np.stack((2 * pairs, 2 * pairs + 1), axis=2).reshape(-1)
    values = rng.normal(size=6 * n).astype(np.float32)
    rows = sp.csr_array((values, columns, np.arange(n + 1) * 6), shape=(n, 64))
    pack(tmp_path / "a.sd", rows, item_ids=[str(i) for i in range(n)])
    said = round_trip(tmp_path / "a.sd")
    assert said["bytes"] < n * (math.log2(math.comb(64, 6)) + 8 * 6) / 8


def test_int4_is_half_of_int8(tmp_path):
    rows = table(np.random.default_rng(3), 10_000, 64, 6, 6)
    ids = [str(i) for i in range(10_000)]
    size = {}
    for values in ("int8", "int4"):
        info = pack(tmp_path / f"{values}.sd", rows, item_ids=ids, values=values)
        size[values] = round_trip(tmp_path / f"{values}.sd")["bytes"] - info.section_bytes["item_id_bytes"]
    assert size["int8"] < 10_000 * (26.2 * 1.1 + 6 * 8) / 8
    assert size["int4"] < 10_000 * (26.2 * 1.1 + 6 * 4) / 8


def test_ids_take_no_more_than_front_coded_and_deflated(tmp_path):
    n = 3000
    items = sp.csr_array(np.eye(1, 8, dtype=np.float32)[np.zeros(n, int)])
    for name, ids in (
        ("numbers", [str(10_000 + 3 * i) for i in range(n)]),
        ("paths", sorted(f"/shop/{i % 7}/article-{i:06d}.html" for i in range(n))),
    ):
        pack(tmp_path / f"{name}.sd", items, item_ids=ids)
        with_ids = round_trip(tmp_path / f"{name}.sd")["bytes"]
        assert with_ids < len(zlib.compress("\n".join(ids).encode(), 9))


def test_a_file_of_another_writer_is_kept_whole(tmp_path):
    write_small(tmp_path / "a.sd")
    data = (tmp_path / "a.sd").read_bytes()
    scales = decode_head(memoryview(data))[1][Kind.ITEM_SCALES]
    other = patched(data, Kind.ITEM_SCALES, scales.length - 4, np.float32(2).tobytes())
    (tmp_path / "b.sd").write_bytes(other)
    said = round_trip(tmp_path / "b.sd")
    assert said["kind"] == "full"
    assert "another writer" in said["reason"]


def test_a_damaged_file_is_not_coded(tmp_path):
    write_small(tmp_path / "a.sd")
    data = bytearray((tmp_path / "a.sd").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.sd").write_bytes(data)
    with pytest.raises(PackedFileError):
        compact(tmp_path / "a.sd", tmp_path / "a.sdz")


def test_truncated_files_are_refused(tmp_path):
    write_small(tmp_path / "a.sd")
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    for length in range(len(coded)):
        with pytest.raises(PackedFileError):
            expand_bytes(coded[:length])
    with pytest.raises(PackedFileError):
        expand_bytes(coded + b"\0")


def test_flipped_files_are_refused(tmp_path):
    write_small(tmp_path / "a.sd")
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    rng = random.Random(1)
    for _ in range(3000):
        copy = bytearray(coded)
        for _ in range(rng.choice((1, 1, 2, 8))):
            copy[rng.randrange(len(copy))] ^= rng.randrange(1, 256)
        if copy != coded:
            with pytest.raises(PackedFileError):
                expand_bytes(bytes(copy))


def parts(coded: bytes) -> tuple[bytes, bytes]:
    """Body and streams."""
    size = int.from_bytes(coded[32:40], "little")
    return zlib.decompress(coded[HEADER : HEADER + size]), coded[HEADER + size :]


def sealed(coded: bytes, body: bytes, streams: bytes, /, **claims: int) -> bytes:
    """The file with other parts, its sizes and checksum made right, except for sizes that are given."""
    stream = zlib.compress(body, 1)
    head = bytearray(coded[:HEADER])
    sizes = {
        "packed": int.from_bytes(head[16:24], "little"),
        "body": len(body),
        "stream": len(stream),
    } | claims
    head[16:40] = b"".join(size.to_bytes(8, "little") for size in sizes.values())
    whole = head + stream + streams
    whole[12:16] = bytes(4)
    whole[12:16] = zlib.crc32(whole).to_bytes(4, "little")
    return bytes(whole)


def check_damaged_parts(
    expanded: Callable[[bytes], bytes], tmp: Path, *, values: str, dim: int, n: int, times: int
):
    """Damaged parts with checksums made right, so that wrong numbers reach tables and streams: no other file.

    ``expanded`` is the expander of any language.
    """
    rng = np.random.default_rng(4)
    pack(
        tmp / "a.sd",
        table(rng, n, dim, 2, 8),
        item_ids=[f"id {i}" for i in range(n)],
        users=table(rng, 9, dim, 2, 8),
        user_ids=[str(i) for i in range(9)],
        seen=sp.csr_array(rng.random((9, n)) < 0.05),
        values=values,
    )
    compact(tmp / "a.sd", tmp / "a.sdz")
    coded, packed = (tmp / "a.sdz").read_bytes(), (tmp / "a.sd").read_bytes()
    body, streams = parts(coded)
    assert expanded(sealed(coded, body, streams)) == packed
    python_rng, promises = random.Random(2), set()
    for _ in range(times):
        damaged = [bytearray(body), bytearray(streams)]
        part = damaged[python_rng.random() < 0.4]
        at = python_rng.randrange(min(100, len(part)) if python_rng.random() < 0.3 else len(part))
        part[at] ^= python_rng.randrange(1, 256)
        if python_rng.random() < 0.2:
            del part[python_rng.randrange(len(part)) :]
        try:
            assert expanded(sealed(coded, *map(bytes, damaged))) == packed
        except PackedFileError as error:
            promises.add(error.promise)
    assert promises >= {"body", "streams", "result"}


@pytest.mark.parametrize(("values", "dim"), [("int8", 64), ("int4", 64), ("f16", 300)])
def test_damaged_parts_never_give_another_file(values, dim, tmp_path):
    check_damaged_parts(expand_bytes, tmp_path, values=values, dim=dim, n=900, times=500)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), seed=st.integers(0, 10**6), dim=st.sampled_from([2, 64, 256, 300]), n=st.integers(1, 900)
)
def test_any_tables_and_streams_are_safe(data, seed, dim, n):
    """The decoder alone, with tables and streams that no encoder writes: it answers or refuses."""
    rng = np.random.default_rng(seed)
    bits = low_bits(dim)
    gaps = Gaps(bits, data.draw(st.integers(bits, 12)))
    indptr = np.concatenate(([0], np.cumsum(rng.integers(0, 9, n))))
    shape = gaps.tables(dim), gaps.symbols(dim)
    code_lengths = fit_codes(rng.integers(0, 4, shape) ** 4)
    if data.draw(st.booleans()):
        code_lengths[rng.integers(shape[0]), rng.integers(shape[1])] = rng.integers(0, 256)
    sizes = rng.integers(0, 400, STREAMS).astype(np.uint32)
    streams = rng.bytes(int(sizes.sum()) + data.draw(st.integers(0, SLACK)))
    with contextlib.suppress(PackedFileError):
        coded = Coded(streams, sizes, code_lengths)
        assert decode_columns(coded, indptr, dim, gaps).max(initial=0) < dim


@pytest.mark.parametrize(
    "claims",
    [
        {"packed": 2**63},
        {"packed": 10**9},
        {"body": 2**63},
        {"body": 10**8},
        {"stream": 2**63},
        {"packed": 10},
    ],
)
def test_claimed_sizes_are_bounded(claims, tmp_path):
    write_small(tmp_path / "a.sd")
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    with pytest.raises(PackedFileError) as caught:
        expand_bytes(sealed(coded, *parts(coded), **claims))
    assert caught.value.promise in ("lengths", "body")


def test_many_entries_that_cost_no_bits_are_refused(tmp_path):
    """The only symbol of a table takes no bits, so rows can claim what no packed file of this size holds."""
    pack(
        tmp_path / "a.sd",
        sp.csr_array(np.ones((1000, 1), np.float32)),
        item_ids=[f"x{i}" for i in range(1000)],
    )
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    body, streams = parts(coded)
    assert streams == bytes(SLACK)
    runs, length = (1).to_bytes(4, "little"), (1).to_bytes(2, "little")
    assert body[16:26] == runs + length + (1000).to_bytes(4, "little")
    with pytest.raises(PackedFileError, match="entries do not fit"):
        expand_bytes(sealed(coded, body[:20] + (4096).to_bytes(2, "little") + body[22:], streams))
    many = (10**8).to_bytes(4, "little")
    with pytest.raises(PackedFileError, match="rows do not fit"):
        expand_bytes(sealed(coded, many + body[4:22] + many + body[26:], streams))
    with pytest.raises(PackedFileError, match="lengths of 1001 rows"):
        expand_bytes(sealed(coded, body[:22] + (1001).to_bytes(4, "little") + body[26:], streams))


def test_opened_after_expanding(tmp_path):
    write_small(tmp_path / "a.sd")
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    expand(tmp_path / "a.sdz", tmp_path / "b.sd")
    assert PackedFile.open(tmp_path / "b.sd").n_items == 70
