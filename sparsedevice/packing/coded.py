"""How a list of strings lies in the packed file: as numbers, in columns, or else as text.

See docs/format.md, "Strings".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.bits import bit_bytes, bits_at, pack_bits
from sparsedevice.packing.blocks import NUMBER_BLOCK, BlockPlan, NumberBlocks
from sparsedevice.packing.columns import ENTRY_BYTES, MAX_COLUMNS, MAX_NUMBER_BITS, Columns, code_columns
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.symbols import NOTHING, Symbols, learn_symbols

TEXT, NUMBERS, COLUMNS = 0, 1, 3
TEXT_BLOCK = 8
_MAX_START_BITS = 40
_MAX_DIGITS = 10
_HEAD = struct.Struct("<4B4HQ")
HEAD_BYTES = _HEAD.size


@dataclass(frozen=True)
class ListHead:
    """The first 20 bytes of the codes of a list.

    Attributes:
        coding: TEXT, NUMBERS or COLUMNS.
        width: bits of a short code, of a number, or of all columns of a string.
        more: text: bits that a long code has beyond those; columns: bits of the first number where it lies
            in blocks, else 0.
        start_bits: bits of a start; 0 for columns that are not in blocks.
        n_symbols: entries of three bytes that follow.
        n_short: text: symbols with short codes; columns: how many there are; numbers: digits of the
            shortest where some begin with zeros.
        first_final, n_final: text: the symbols that end a string.
        bits: of all codes.
    """

    coding: int
    width: int
    more: int
    start_bits: int
    n_symbols: int
    n_short: int
    first_final: int
    n_final: int
    bits: int

    def to_bytes(self) -> bytes:
        """As in the file."""
        fields = (self.coding, self.width, self.more, self.start_bits, self.n_symbols)
        return _HEAD.pack(*fields, self.n_short, self.first_final, self.n_final, self.bits)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> ListHead:
        """Of the first bytes of a section."""
        return cls(*_HEAD.unpack_from(data))

    def fits(self, n: int, start_bytes: int, code_bytes: int) -> bool:
        """Whether sections of these lengths hold ``n`` strings with this head."""
        if self.coding == NUMBERS:
            good = 1 <= self.width <= 32 and self.more == self.n_symbols == 0 and self.n_short <= _MAX_DIGITS
        elif self.coding == COLUMNS:
            good = self.more <= min(self.width, MAX_NUMBER_BITS)
            good &= self.more > 0 or (self.start_bits == 0 and self.bits == n * self.width)
            good &= self.n_short <= MAX_COLUMNS and ENTRY_BYTES * self.n_short <= 3 * self.n_symbols
        else:
            good = self.coding == TEXT and 1 <= self.width <= 12 and self.more <= 12
            good &= self.n_symbols <= NOTHING
        return (
            good
            and self.start_bits <= _MAX_START_BITS
            and self.bits >> _MAX_START_BITS == 0
            and start_bytes == bit_bytes(-(-n // self.block) * self.start_bits)
            and code_bytes == HEAD_BYTES + 3 * self.n_symbols + bit_bytes(self.bits)
        )

    @property
    def block(self) -> int:
        """Strings between two starts."""
        return TEXT_BLOCK if self.coding == TEXT else NUMBER_BLOCK


class CodedList:
    """One list in the file; strings are decoded when asked for.

    Attributes:
        starts: bytes of the starts.
        codes: bytes of head, table and codes.
        n: strings.
    """

    def __init__(self, starts: NDArray[np.uint8], codes: NDArray[np.uint8], n: int) -> None:
        self.starts, self.codes, self.n = starts, codes, n
        self.head = ListHead.from_bytes(codes[:HEAD_BYTES].tobytes())
        self.table = codes[HEAD_BYTES : HEAD_BYTES + 3 * self.head.n_symbols]
        self.stream = codes[HEAD_BYTES + 3 * self.head.n_symbols :]
        self._symbols: Symbols | None = None

    @property
    def symbols(self) -> Symbols:
        """The table of a list of text."""
        if self._symbols is None:
            head = self.head
            pairs = Symbols.pairs_of(self.table.tobytes())
            self._symbols = Symbols(
                pairs, head.width, head.more, head.n_short, head.first_final, head.n_final
            )
        return self._symbols

    def start(self, row: int) -> int:
        """Bit at which the block of a row begins."""
        width = self.head.start_bits
        return bits_at(self.starts, row // self.head.block * width, width)

    def raw(self, row: int) -> bytes:
        """One string."""
        if self.head.coding == NUMBERS:
            return b"%0*d" % (self.head.n_short, self._blocks.one(row)[0])
        if self.head.coding == COLUMNS:
            return self._in_columns(row).data.tobytes()
        texts, at, parts = self.symbols.texts, self.start(row), []
        for skip in range(row % TEXT_BLOCK, -1, -1):
            while True:
                symbol, at = self.symbol_at(at)
                if not skip:
                    parts.append(texts[symbol])
                if self.symbols.is_final(symbol):
                    break
        return b"".join(parts)[:-1]

    def symbol_at(self, at: int) -> tuple[int, int]:
        """The symbol whose code begins at a bit, and the bit behind it.

        Raises:
            PackedFileError: ``strings`` if there is none.
        """
        head = self.head
        bits = bits_at(self.stream, at, head.width + head.more) if at < head.bits else -1
        symbol, at = bits & (1 << head.width) - 1, at + head.width
        if symbol >= head.n_short:
            symbol = head.n_short + (symbol - head.n_short << head.more) + (bits >> head.width)
            at += head.more
        if bits < 0 or symbol >= head.n_symbols:
            raise PackedFileError("strings", f"no symbol stands before bit {at} of a list of strings")
        return symbol, at

    def all(self) -> Lists:
        """All strings.

        Raises:
            PackedFileError: ``pointers`` or ``strings`` if starts or codes do not make them.
        """
        if self.head.coding == TEXT:
            return Lists.of(self._text())
        if self.head.coding == COLUMNS:
            return self._in_columns()
        numbers, _ = self._blocks.all()
        return Lists.of_numbers(numbers, self.head.n_short)

    def _text(self) -> list[bytes]:
        texts, final = (
            self.symbols.texts,
            range(self.head.first_final, self.head.first_final + self.head.n_final),
        )
        parts, at = [], 0
        for row in range(self.n):
            if row % TEXT_BLOCK == 0 and self.start(row) != at:
                raise PackedFileError("pointers", f"the block of string {row} does not begin where one ends")
            symbol = -1
            while symbol not in final:
                symbol, at = self.symbol_at(at)
                parts.append(texts[symbol])
        if at != self.head.bits:
            raise PackedFileError("pointers", f"strings end at bit {at}, not {self.head.bits}")
        return b"".join(parts).split(b"\xff")[:-1]

    @cached_property
    def _blocks(self) -> NumberBlocks:
        head = self.head
        width = head.width if head.coding == NUMBERS else head.more
        rest = head.width - width
        return NumberBlocks(self.starts, self.stream, self.n, head.start_bits, width, rest, head.bits)

    @cached_property
    def _columns(self) -> Columns:
        head = self.head
        columns = Columns.from_table(self.table, head.n_short, head.width)
        if head.more and columns.bits[0] != head.more:
            raise PackedFileError("strings", "the numbers in blocks are not those of the first column")
        return columns

    def _in_columns(self, row: int | None = None) -> Lists:
        """One string, or all."""
        columns, length, first = self._columns, self.head.n_short, None
        if self.head.more:
            places = self._blocks.all() if row is None else self._blocks.one(row)
            first, at = map(np.atleast_1d, places)
        else:
            at = (np.arange(self.n) if row is None else np.array([row])) * self.head.width
        letters = columns.read(self.table, self.stream, at, first)
        return Lists.behind_one_another(np.full(len(at), length), letters.ravel())


def code_list(strings: Lists, symbols: Symbols | None = None) -> tuple[bytes, bytes] | None:
    """Starts and codes of strings without byte 255.

    Args:
        strings: UTF-8.
        symbols: the table for text; None: one is learnt.

    Returns:
        None where the symbols do not make the strings.
    """
    short = [parts for parts in (_code_numbers(strings), _code_columns(strings)) if parts]
    if short:
        return min(short, key=lambda parts: sum(map(len, parts)))
    text = strings.with_ends()
    symbols = learn_symbols(text) if symbols is None else symbols
    codes = symbols.cut(text)
    if codes is None:
        return None
    bits = symbols.bits[codes]
    final = (codes >= symbols.first_final) & (codes < symbols.first_final + symbols.n_final)
    ends = np.cumsum(bits)
    starts = np.concatenate(([0], ends[final]))[:-1:TEXT_BLOCK]
    stream = pack_bits(symbols.code(codes), bits)
    head = ListHead(
        TEXT, symbols.width, symbols.more, int(starts[-1]).bit_length(), len(symbols.pairs),
        symbols.n_short, symbols.first_final, symbols.n_final, int(ends[-1]),
    )  # fmt: skip
    return pack_bits(starts, head.start_bits), head.to_bytes() + symbols.to_bytes() + stream


def _digits(strings: Lists) -> int | None:
    """Of numbers: digits of the shortest where some begin with zeros, else 0. Of others: None."""
    lengths = strings.lengths
    if lengths.max() > _MAX_DIGITS or not strings.all_digits():
        return None
    zeros = strings.data[strings.pointers[:-1]] == ord("0")
    padded = lengths[zeros & (lengths > 1)]
    if (padded > lengths.min()).any():
        return None
    return int(padded[0]) if len(padded) else 0


def _code_numbers(strings: Lists) -> tuple[bytes, bytes] | None:
    """Blocks of 16: the first, then differences modulo the width, in as many bits as the block needs."""
    digits = _digits(strings)
    if digits is None:
        return None
    numbers = strings.numbers()
    if numbers.max() >= 1 << 32:
        return None
    width = max(1, int(numbers.max()).bit_length())
    head = ListHead(NUMBERS, width, 0, 0, 0, digits, 0, 0, 0)
    return _blocks_of(BlockPlan.of(numbers, width), head, b"")


def _code_columns(strings: Lists) -> tuple[bytes, bytes] | None:
    """String by string, or the first number of each in blocks where that takes fewer bytes."""
    coded = code_columns(strings)
    if coded is None:
        return None
    columns, table, numbers = coded
    widths, bits = columns.bits[columns.bits > 0], len(strings) * columns.width
    head = ListHead(COLUMNS, columns.width, 0, 0, len(table) // 3, len(columns.bits), 0, 0, bits)
    if len(widths):
        first = int(widths[0])
        plan = BlockPlan.of(numbers[:, 0], first, columns.width - first)
        if plan.start_bytes + bit_bytes(plan.bits) < bit_bytes(0) + bit_bytes(bits):
            return _blocks_of(plan, replace(head, more=first), table, numbers[:, 1:], widths[1:])
    stream = pack_bits(numbers.ravel(), np.tile(widths, len(strings)))
    return pack_bits(np.zeros(0), 0), head.to_bytes() + table + stream


def _blocks_of(
    plan: BlockPlan, head: ListHead, table: bytes, *rests: NDArray[np.int64]
) -> tuple[bytes, bytes]:
    """Starts and codes of numbers in blocks; ``rests`` as :meth:`BlockPlan.pack` takes them."""
    head = replace(head, start_bits=plan.start_bits, bits=plan.bits)
    return pack_bits(plan.starts, plan.start_bits), head.to_bytes() + table + plan.pack(*rests)
