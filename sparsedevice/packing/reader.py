"""Reading a packed file in place: the file is mapped, and arrays are views of the mapping."""

from __future__ import annotations

import json
import mmap
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, PackedFileError, SparseDeviceError
from sparsedevice.packing.coded import CodedList
from sparsedevice.packing.fold_in import FoldIn, decode_rule
from sparsedevice.packing.format import (
    SLICE_ROWS,
    VERSION,
    Header,
    Kind,
    Layout,
    Section,
    Similarity,
    Values,
    decode_head,
)
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.sliced import Slices, from_slices, sign_extend, unpack_nibbles
from sparsedevice.packing.strings import PackedStrings, PackedVocabulary

_DTYPES = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "int8": np.dtype("i1"), "int4": np.dtype("u1")}


class PackedFile:
    """A packed file that is open for reading. Many threads may use one at once.

    While it is open the file must not be truncated in place (see docs/format.md); replacing it by
    renaming, as :func:`sparsedevice.packing.pack` does, is safe.

    Attributes:
        path: the file, or None for bytes in memory.
        data: all bytes, uint8[n], read-only.
        header: counts and codes.
        sections: the section table.
    """

    def __init__(self, data: Any, path: Path | None = None) -> None:
        self.path = path
        self.data: NDArray[np.uint8] = np.frombuffer(data, np.uint8)
        self.header: Header
        self.sections: dict[Kind, Section]
        self.header, self.sections = decode_head(memoryview(data))

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> PackedFile:
        """Map a file.

        Args:
            path: the packed file.
            verify: check every promise of docs/format.md. Without it only header and section table
                are read, in time that does not depend on the number of rows.

        Raises:
            PackedFileError: naming the broken promise.
            SparseDeviceError: if the file cannot be read.
        """
        from sparsedevice.packing.verify import verify_file

        path = Path(path)
        data = map_file(path)
        try:
            packed = cls(data, path)
            if verify:
                verify_file(packed)
        except PackedFileError as error:
            sentence = str(error).removesuffix(f" [promise: {error.promise}]")
            raise PackedFileError(error.promise, f"{path}: {sentence}") from error
        return packed

    @property
    def n_items(self) -> int:
        """Rows of the item table."""
        return self.header.n_items

    @property
    def n_users(self) -> int:
        """Rows of the user table; 0 where none is shipped."""
        return self.header.n_users

    @property
    def dim(self) -> int:
        """Columns of both tables."""
        return self.header.dim

    @property
    def nnz(self) -> int:
        """Entries of the item rows."""
        return self.header.nnz_items

    @property
    def values(self) -> Values:
        """How values are stored."""
        return self.header.values

    @property
    def layout(self) -> Layout:
        """How item rows lie in the file."""
        return self.header.layout

    @property
    def similarity(self) -> Similarity:
        """What a score is."""
        return self.header.similarity

    def section(self, kind: Kind, dtype: Any = np.uint8) -> NDArray[Any]:
        """One section as an array of ``dtype``, a view; empty where the file has no such section."""
        section = self.sections.get(kind)
        if section is None:
            return np.empty(0, dtype)
        return self.data[section.offset : section.offset + section.length].view(dtype)

    @cached_property
    def item_rows(self) -> Rows:
        """Item rows as stored (int4 as int8), in CSR form whatever the layout."""
        scales = self.section(Kind.ITEM_SCALES, "<f4")[: self.n_items]
        if self.layout == "csr":
            return self._csr(Kind.ITEM_POINTERS, scales)
        return Rows(*from_slices(self.slices, self.n_items), scales, self.dim)

    @property
    def slice_pointers(self) -> NDArray[np.uint32]:
        """First step of each slice, uint32[n_slices + 1]; the layout must be sliced."""
        return self.section(Kind.ITEM_POINTERS)[: 4 * (self.header.n_slices + 1)].view("<u4")

    @property
    def slices(self) -> Slices:
        """Item rows as they lie in slices (int4 as int8); the layout must be sliced, the pointers sound."""
        pointers, stored = self.slice_pointers, self.section(Kind.ITEM_VALUES)
        values = unpack_nibbles(stored, pointers) if self.values == "int4" else stored.view(np.int8)
        bases = self.section(Kind.ITEM_POINTERS)[4 * len(pointers) :]
        return Slices(pointers, self.section(Kind.ITEM_COLUMNS), values, bases)

    @cached_property
    def user_rows(self) -> Rows | None:
        """User rows as stored (int4 as int8); None where the file ships no users."""
        if not self.n_users:
            return None
        return self._csr(Kind.USER_POINTERS, self.section(Kind.USER_SCALES, "<f4"))

    @cached_property
    def items(self) -> sp.csr_array:
        """Dequantised item rows, float32 CSR [n_items, dim]: stored value times row scale."""
        return dequantize(self.item_rows)

    @cached_property
    def users(self) -> sp.csr_array | None:
        """Dequantised user rows, float32 CSR [n_users, dim]; None where the file ships no users."""
        return None if self.user_rows is None else dequantize(self.user_rows)

    @cached_property
    def seen(self) -> sp.csr_array | None:
        """Seen items, float32 ones, CSR [n_users, n_items]; None where the file has none."""
        if Kind.SEEN_ROWS not in self.sections:
            return None
        rows = self.section(Kind.SEEN_ROWS, "<u4").astype(np.int32)
        pointers = self.section(Kind.SEEN_POINTERS, "<u4").astype(np.int64)
        return sp.csr_array(
            (np.ones(len(rows), np.float32), rows, pointers), shape=(self.n_users, self.n_items)
        )

    @cached_property
    def vocabulary(self) -> PackedVocabulary:
        """Item ids; an id is found in the file, without a dictionary."""
        return self._vocabulary(Kind.ITEM_ID_POINTERS)

    @cached_property
    def user_vocabulary(self) -> PackedVocabulary | None:
        """User ids; None where the file ships no users."""
        return self._vocabulary(Kind.USER_ID_POINTERS) if self.n_users else None

    @cached_property
    def titles(self) -> PackedStrings | None:
        """Titles by row, "" where unknown; None where the file has none."""
        if Kind.TITLE_BYTES not in self.sections:
            return None
        return PackedStrings(self.coded(Kind.TITLE_POINTERS))

    @cached_property
    def fold_in(self) -> FoldIn:
        """How a history becomes a query.

        Raises:
            PackedFileError: if the rule is not as the format says.
        """
        weights = matrix = None
        if Kind.FOLD_WEIGHTS in self.sections:
            weights = self.section(Kind.FOLD_WEIGHTS, "<f4")
        if Kind.FOLD_MATRIX in self.sections:
            matrix = self.section(Kind.FOLD_MATRIX, "<f4").reshape(self.dim, self.dim)
        if Kind.FOLD_RULE not in self.sections:
            return FoldIn(weights, matrix)
        try:
            numbers = self.section(Kind.FOLD_TOWER, "<f4") if Kind.FOLD_TOWER in self.sections else None
            rule = decode_rule(self.section(Kind.FOLD_RULE).tobytes(), self.similarity, self.dim, numbers)
        except ConfigError as error:
            raise PackedFileError("fold-in", str(error)) from None
        return FoldIn(weights, matrix, rule)

    @cached_property
    def network(self) -> PairNetwork | None:
        """What makes scores of pairs of rows; None: scores are their products, by ``similarity``.

        Raises:
            PackedFileError: if it is not as the format says.
        """
        if Kind.PAIR_NETWORK not in self.sections:
            return None
        try:
            return PairNetwork.from_bytes(self.section(Kind.PAIR_NETWORK).tobytes(), self.dim)
        except ConfigError as error:
            raise PackedFileError("values", str(error)) from None

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Strings that travel with the file.

        Raises:
            PackedFileError: if they are not a JSON object of strings.
        """
        return parse_metadata(self.section(Kind.METADATA).tobytes())

    def _vocabulary(self, first: Kind) -> PackedVocabulary:
        return PackedVocabulary(PackedStrings(self.coded(first)), self.section(Kind(first + 2)))

    def coded(self, first: Kind) -> CodedList:
        """The list of strings whose starts are section ``first``."""
        n = self.n_users if first is Kind.USER_ID_POINTERS else self.n_items
        return CodedList(self.section(first), self.section(Kind(first + 1)), n)

    def _csr(self, first: Kind, scales: NDArray[np.float32]) -> Rows:
        indptr = self.section(first, "<u4").astype(np.int64)
        columns = self.section(Kind(first + 1), "<u1" if self.header.column_bytes == 1 else "<u2")
        stored = self.section(Kind(first + 2), _DTYPES[self.values])
        if self.values == "int4":
            values = np.empty(2 * len(stored), np.int8)
            values[0::2] = sign_extend(stored, 0)
            values[1::2] = sign_extend(stored, 4)
            stored = values[: len(columns)]
        return Rows(indptr, columns.astype(np.int32), stored, scales, self.dim)


def parse_metadata(raw: bytes) -> dict[str, str]:
    """The strings of a metadata section.

    Raises:
        PackedFileError: if they are not a JSON object of strings.
    """
    try:
        value = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise PackedFileError("metadata", "metadata is not valid JSON") from error
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise PackedFileError("metadata", "metadata is not a JSON object of strings")
    return value


def dequantize(rows: Rows) -> sp.csr_array:
    """Stored values times row scales, float32 CSR [n, dim]."""
    data = rows.values.astype(np.float32) * np.repeat(rows.scales, np.diff(rows.indptr))
    return sp.csr_array((data, rows.columns, rows.indptr), shape=(len(rows.scales), rows.dim))


def map_file(path: Path) -> mmap.mmap | bytes:
    """The bytes of a file, mapped read-only.

    Raises:
        SparseDeviceError: if the file is missing or cannot be read.
        PackedFileError: ``truncated`` if it is empty.
    """
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise PackedFileError("truncated", f"{path}: the file is empty")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SparseDeviceError(
            f"cannot read {path}: {error.strerror}; give the path of a packed file"
        ) from error


def inspect(path: str | Path) -> dict[str, Any]:
    """What a packed file holds, as JSON-ready values.

    Raises:
        PackedFileError: naming the broken promise.
        SparseDeviceError: if the file cannot be read.
    """
    packed = PackedFile.open(path)
    stored = packed.nnz
    if packed.layout == "sliced":
        stored = SLICE_ROWS * int(packed.slice_pointers[-1])
    return {
        "bytes": len(packed.data),
        "version": VERSION,
        "n_items": packed.n_items,
        "n_users": packed.n_users,
        "dim": packed.dim,
        "nnz": packed.nnz,
        "nnz_users": packed.header.nnz_users,
        "nnz_seen": packed.header.nnz_seen,
        "sparsity": 1 - packed.nnz / (packed.n_items * packed.dim),
        "padding": stored / packed.nnz - 1 if packed.nnz else 0.0,
        "values": packed.values,
        "layout": packed.layout,
        "similarity": packed.similarity,
        "titles": packed.titles is not None,
        "fold_in": {
            "weights": packed.fold_in.weights is not None,
            "matrix": packed.fold_in.matrix is not None,
        },
        "metadata": packed.metadata,
        "sections": {
            kind.name.lower(): {"offset": s.offset, "bytes": s.length, "crc32": f"{s.crc32:08x}"}
            for kind, s in packed.sections.items()
        },
    }
