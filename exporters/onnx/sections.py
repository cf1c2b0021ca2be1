"""Sections of the packed file as tensors of a graph: external data, so that no byte is there twice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx import TensorProto

from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import HEADER_BYTES, MAX_BYTE_DIM, Kind

from ..targets import PACKED_NAME

_VALUES = {
    "f32": TensorProto.FLOAT,
    "f16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "int4": TensorProto.UINT8,
}
_ITEM_BYTES = {
    TensorProto.FLOAT: 4,
    TensorProto.FLOAT16: 2,
    TensorProto.INT8: 1,
    TensorProto.UINT8: 1,
    TensorProto.UINT16: 2,
    TensorProto.UINT32: 4,
}


def whole_file(packed: PackedFile) -> TensorProto:
    """``model``, uint8[bytes]: the packed file."""
    return _outside("model", TensorProto.UINT8, 0, [len(packed.data)])


def file_head(packed: PackedFile) -> TensorProto:
    """``head``, uint8[64]: the file's header, in the graph itself.

    It has the checksum of the section table, which has those of the sections, so it tells files apart.
    """
    head = packed.data[:HEADER_BYTES].tobytes()
    return TensorProto(name="head", data_type=TensorProto.UINT8, dims=[len(head)], raw_data=head)


def tables(packed: PackedFile) -> list[TensorProto]:
    """The sections that hold numbers, named as their kinds: ``item_columns`` and so on.

    Of slices of more than 256 columns the bases, which follow the pointers, are ``item_bases``.
    """
    sliced = packed.layout == "sliced"
    column = TensorProto.UINT8 if packed.header.column_bytes == 1 else TensorProto.UINT16
    types = {
        Kind.ITEM_POINTERS: TensorProto.UINT32,
        Kind.ITEM_COLUMNS: TensorProto.UINT8 if sliced else column,
        Kind.ITEM_VALUES: _VALUES[packed.values],
        Kind.ITEM_SCALES: TensorProto.FLOAT,
        Kind.USER_POINTERS: TensorProto.UINT32,
        Kind.USER_COLUMNS: column,
        Kind.USER_VALUES: _VALUES[packed.values],
        Kind.USER_SCALES: TensorProto.FLOAT,
        Kind.FOLD_WEIGHTS: TensorProto.FLOAT,
        Kind.FOLD_MATRIX: TensorProto.FLOAT,
        Kind.FOLD_TOWER: TensorProto.FLOAT,
    }
    found = []
    for kind, type_ in types.items():
        section = packed.sections.get(kind)
        if section is None:
            continue
        length, name = section.length, kind.name.lower()
        if sliced and kind is Kind.ITEM_POINTERS:
            length = packed.slice_pointers.nbytes
            if packed.dim > MAX_BYTE_DIM:
                after = section.offset + length
                found.append(_numbers("item_bases", TensorProto.UINT8, after, section.length - length))
        if kind is Kind.FOLD_MATRIX:
            found.append(_outside(name, type_, section.offset, [packed.dim, packed.dim]))
        else:
            found.append(_numbers(name, type_, section.offset, length))
    return found


def _numbers(name: str, type_: TensorProto.DataType, offset: int, length: int) -> TensorProto:
    count = length // _ITEM_BYTES[type_]
    if not count:
        # A table of empty rows: one entry that no row has, so that there is something to gather from.
        return TensorProto(name=name, data_type=type_, dims=[1], raw_data=bytes(_ITEM_BYTES[type_]))
    return _outside(name, type_, offset, [count])


def _outside(name: str, type_: TensorProto.DataType, offset: int, dims: Sequence[int]) -> TensorProto:
    tensor = TensorProto(name=name, data_type=type_, dims=dims, data_location=TensorProto.EXTERNAL)
    length = math.prod(dims) * _ITEM_BYTES[type_]
    for key, value in (("location", PACKED_NAME), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor
