"""Writing a packed file: quantise, order the rows, lay them out, write beside and rename."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError
from sparsedevice.files import atomic_file
from sparsedevice.packing.fold_in import FoldIn, encode_rule
from sparsedevice.packing.format import (
    MAX_BYTE_DIM,
    MAX_DIM,
    MAX_ITEMS,
    MAX_USERS,
    SIMILARITIES,
    SLICE_ROWS,
    VALUES,
    Header,
    Kind,
    Layout,
    Similarity,
    Values,
    build_head,
    can_slice,
    check_layout,
)
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.packing.quantize import Rows, quantize
from sparsedevice.packing.sliced import join_nibbles, pack_nibbles, sort_keys, to_slices
from sparsedevice.packing.strings import pack_strings, pack_vocabulary
from sparsedevice.packing.tower import Tower


@dataclass(frozen=True)
class PackedInfo:
    """What :func:`pack` wrote.

    Attributes:
        file_bytes: size of the file.
        n_items: rows of the item table.
        dim: columns of the table.
        nnz: entries stored for items, after those that quantisation made zero are left out.
        values: how values are stored.
        layout: how item rows lie in the file.
        section_bytes: size of each section.
        order: int64[n_items]: row ``i`` of the file is row ``order[i]`` of the table that was given.
    """

    path: Path
    file_bytes: int
    n_items: int
    n_users: int
    dim: int
    nnz: int
    values: Values
    layout: Layout
    section_bytes: Mapping[str, int]
    order: NDArray[np.int64]


def pack(
    path: str | Path,
    items: sp.csr_array,
    *,
    item_ids: Sequence[str],
    titles: Sequence[str] | None = None,
    users: sp.csr_array | None = None,
    user_ids: Sequence[str] | None = None,
    seen: sp.csr_array | None = None,
    values: Values = "int8",
    layout: Layout | str = "auto",
    similarity: Similarity = "cosine",
    fold_in: FoldIn | None = None,
    network: PairNetwork | None = None,
    metadata: Mapping[str, str] | None = None,
) -> PackedInfo:
    """Write a packed file; the same arguments give the same bytes.

    Items are reordered, longest row first, and in slices like rows side by side (stable). From there on *row*
    means the file's row.

    Args:
        path: the file to write; an existing one is replaced at once, not in parts.
        items: float32 CSR [n_items, dim].
        item_ids: one distinct id for each row of ``items``.
        titles: one for each row of ``items``, "" where unknown.
        users: float32 CSR [n_users, dim]; None for a file that only folds histories in.
        user_ids: one distinct id for each row of ``users``.
        seen: CSR [n_users, n_items] in the row order of ``items``: what each user is not shown again.
        values: f32, f16, int8 or int4.
        layout: csr, sliced, or auto: slices for int8 and int4 where they are no larger than csr, else csr.
        similarity: cosine or dot.
        fold_in: how a history becomes a query, in the row order of ``items``.
        network: makes scores of pairs of rows; the C core and the readers over it refuse such a file.
        metadata: strings that travel with the file.

    Raises:
        ConfigError: if arguments do not fit together or a value is outside the format.
        SparseDeviceError: if the file cannot be written.
    """
    n_items, dim = items.shape
    _check_arguments(items, item_ids, titles, users, user_ids, seen, values, similarity)
    _check_layout(layout, values)
    fold_in = fold_in or FoldIn()
    fold_in.check(n_items, dim, similarity)

    rows = quantize(items, values, similarity, name="item")
    order = _row_order(rows, layout, values)
    rows = rows.take(order)
    chosen, parts = _laid_out(rows, layout, values)
    parts |= dict(zip(
        (Kind.ITEM_ID_POINTERS, Kind.ITEM_ID_BYTES, Kind.ITEM_ID_INDEX),
        pack_vocabulary([item_ids[i] for i in order], "item id"), strict=True,
    ))  # fmt: skip
    if titles is not None:
        parts[Kind.TITLE_POINTERS], parts[Kind.TITLE_BYTES] = pack_strings(
            [titles[i] for i in order], "title"
        )
    n_users = nnz_users = nnz_seen = 0
    if users is not None and user_ids is not None:
        user_rows = quantize(users, values, similarity, name="user")
        parts |= user_parts(user_rows, values)
        parts |= dict(zip(
            (Kind.USER_ID_POINTERS, Kind.USER_ID_BYTES, Kind.USER_ID_INDEX),
            pack_vocabulary(user_ids, "user id"), strict=True,
        ))  # fmt: skip
        n_users, nnz_users = users.shape[0], len(user_rows.values)
        if seen is not None:
            parts |= _seen_parts(seen, order)
            nnz_seen = len(parts[Kind.SEEN_ROWS]) // 4
    ordered = fold_in.reorder(order)
    if ordered.weights is not None:
        parts[Kind.FOLD_WEIGHTS] = ordered.weights.astype("<f4").tobytes()
    if ordered.matrix is not None:
        parts[Kind.FOLD_MATRIX] = np.ascontiguousarray(ordered.matrix, "<f4").tobytes()
    if ordered.rule is not None:
        parts[Kind.FOLD_RULE] = encode_rule(ordered.rule)
    if isinstance(ordered.rule, Tower):
        parts[Kind.FOLD_TOWER] = ordered.rule.to_array().astype("<f4").tobytes()
    if network is not None:
        network.check(dim)
        parts[Kind.PAIR_NETWORK] = network.to_bytes()
    if metadata:
        parts[Kind.METADATA] = _metadata(metadata)

    header = Header(n_items, n_users, dim, values, chosen, similarity, len(rows.values), nnz_users, nnz_seen)
    file_bytes = _write(Path(path), header, parts)
    sizes = {kind.name.lower(): len(part) for kind, part in sorted(parts.items())}
    return PackedInfo(
        Path(path), file_bytes, n_items, n_users, dim, len(rows.values), values, chosen, sizes, order
    )


def _check_arguments(  # noqa: C901 (one line for each thing that can be wrong)
    items: sp.csr_array,
    item_ids: Sequence[str],
    titles: Sequence[str] | None,
    users: sp.csr_array | None,
    user_ids: Sequence[str] | None,
    seen: sp.csr_array | None,
    values: str,
    similarity: str,
) -> None:
    n_items, dim = items.shape
    if values not in VALUES:
        raise ConfigError(f"values {values!r} is unknown; use one of {', '.join(VALUES)}")
    if similarity not in SIMILARITIES:
        raise ConfigError(f"similarity {similarity!r} is unknown; use one of {', '.join(SIMILARITIES)}")
    if not 1 <= n_items <= MAX_ITEMS or not 1 <= dim <= MAX_DIM:
        raise ConfigError(f"a table of {n_items} x {dim} is outside the format: 1 to 2^31-1 x 1 to {MAX_DIM}")
    if len(item_ids) != n_items:
        raise ConfigError(f"{len(item_ids)} item ids for {n_items} item rows")
    if titles is not None and len(titles) != n_items:
        raise ConfigError(f"{len(titles)} titles for {n_items} item rows")
    if users is None or user_ids is None:
        if not (users is None and user_ids is None and seen is None):
            raise ConfigError("users and user_ids are given together; seen lists are shipped with them only")
        return
    if users.shape[1] != dim or not 1 <= users.shape[0] <= MAX_USERS:
        raise ConfigError(f"a user table of {users.shape[0]} x {users.shape[1]} does not fit {dim} columns")
    if len(user_ids) != users.shape[0]:
        raise ConfigError(f"{len(user_ids)} user ids for {users.shape[0]} user rows")
    if seen is not None and seen.shape != (users.shape[0], n_items):
        raise ConfigError(f"seen has shape {seen.shape}; these tables need {(users.shape[0], n_items)}")


def _check_layout(layout: str, values: Values) -> None:
    if layout == "sliced":
        check_layout(values, "sliced")
    elif layout not in ("auto", "csr"):
        raise ConfigError(f"layout {layout!r} is unknown; use auto, csr or sliced")


def _row_order(rows: Rows, layout: str, values: Values) -> NDArray[np.int64]:
    """Longest row first; in slices neighbours are alike (:func:`sort_keys`).

    Above 256 columns then by how many entries each quarter of the columns has: there entries of neighbours
    stand side by side only where their columns are near one another.
    """
    if rows.dim <= MAX_BYTE_DIM and layout != "csr" and can_slice(values):
        return np.lexsort(sort_keys(rows)[::-1])
    keys = [-np.diff(rows.indptr)]
    if rows.dim > MAX_BYTE_DIM:
        quarter = (4 * rows.columns.astype(np.int64) // rows.dim).astype(np.int8)
        for i in range(3):
            keys.append(-np.diff(np.concatenate(([0], np.cumsum(quarter == i)))[rows.indptr]))
    return np.lexsort(keys[::-1])


def _laid_out(rows: Rows, layout: str, values: Values) -> tuple[Layout, dict[Kind, bytes]]:
    """The sections of the item rows in the layout asked for."""
    if layout == "csr" or not can_slice(values):
        return "csr", item_parts(rows, "csr", values)
    sliced = item_parts(rows, "sliced", values)
    if layout == "auto" and rows.dim > MAX_BYTE_DIM:
        csr = item_parts(rows, "csr", values)
        if sum(map(len, csr.values())) < sum(map(len, sliced.values())):
            return "csr", csr
    return "sliced", sliced


def item_parts(rows: Rows, layout: Layout, values: Values) -> dict[Kind, bytes]:
    """The four sections of the item rows, in a layout that fits them."""
    if layout == "csr":
        pointers, columns, stored, scales = _csr_parts(rows, values)
        return {
            Kind.ITEM_POINTERS: pointers,
            Kind.ITEM_COLUMNS: columns,
            Kind.ITEM_VALUES: stored,
            Kind.ITEM_SCALES: scales,
        }
    slices = to_slices(rows)
    padded = np.ones(SLICE_ROWS * (len(slices.pointers) - 1), "<f4")
    padded[: len(rows.scales)] = rows.scales
    packed = slices.values if values == "int8" else pack_nibbles(slices.values, slices.pointers)
    return {
        Kind.ITEM_POINTERS: slices.pointers.astype("<u4").tobytes() + slices.bases.tobytes(),
        Kind.ITEM_COLUMNS: slices.columns.tobytes(),
        Kind.ITEM_VALUES: packed.tobytes(),
        Kind.ITEM_SCALES: padded.tobytes(),
    }


def user_parts(rows: Rows, values: Values) -> dict[Kind, bytes]:
    """The four sections of the user rows."""
    pointers, columns, stored, scales = _csr_parts(rows, values)
    return {
        Kind.USER_POINTERS: pointers,
        Kind.USER_COLUMNS: columns,
        Kind.USER_VALUES: stored,
        Kind.USER_SCALES: scales,
    }


def _csr_parts(rows: Rows, values: Values) -> tuple[bytes, bytes, bytes, bytes]:
    if rows.indptr[-1] > 0xFFFFFFFF:
        raise ConfigError(f"{rows.indptr[-1]} entries; a packed file holds 2^32-1 at most")
    columns = rows.columns.astype("<u1" if rows.dim <= MAX_BYTE_DIM else "<u2")
    stored = rows.values
    if values == "int4":
        even = np.zeros(-(-len(stored) // 2) * 2, np.int8)
        even[: len(stored)] = stored
        data = join_nibbles(even[0::2].copy(), even[1::2].copy()).tobytes()
    else:
        data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    return rows.indptr.astype("<u4").tobytes(), columns.tobytes(), data, rows.scales.astype("<f4").tobytes()


def _seen_parts(seen: sp.csr_array, order: NDArray[np.int64]) -> dict[Kind, bytes]:
    new_row = np.empty(len(order), np.int64)
    new_row[order] = np.arange(len(order))
    clean = sp.csr_array(seen, copy=True)
    clean.sum_duplicates()
    clean.eliminate_zeros()
    moved = sp.csr_array((clean.data, new_row[clean.indices], clean.indptr), shape=clean.shape)
    moved.sort_indices()
    return {
        Kind.SEEN_POINTERS: moved.indptr.astype("<u4").tobytes(),
        Kind.SEEN_ROWS: moved.indices.astype("<u4").tobytes(),
    }


def _metadata(metadata: Mapping[str, str]) -> bytes:
    for key, value in metadata.items():
        if (
            not isinstance(key, str)
            or not isinstance(value, str)
            or not re.fullmatch(r"[a-z0-9_.-]{1,64}", key)
        ):
            raise ConfigError(
                f"metadata {key!r}: {value!r} must map a key of a-z, 0-9, '_', '.', '-' to a string"
            )
    try:
        return json.dumps(dict(sorted(metadata.items())), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ConfigError("metadata is not valid Unicode; remove the surrogates") from None


def _write(path: Path, header: Header, parts: Mapping[Kind, bytes]) -> int:
    head, sections = build_head(header, parts)
    with atomic_file(path) as file:
        file.write(head)
        end = len(head)
        for section in sections:
            file.write(bytes(section.offset - end))
            file.write(parts[section.kind])
            end = section.offset + section.length
    return end
