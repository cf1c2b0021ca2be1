"""Symbols that text is coded in: bytes, and pairs of symbols, learnt from the text (byte-pair encoding).

A string is stored as the codes of its symbols, which have one of two widths, so any string is
found and read in place.
Pairs: Gage, "A New Algorithm for Data Compression" (1994); cutting into the cheapest symbols instead of
replaying the pairs in order: as in Storer and Szymanski, "Data Compression via Textual Substitution" (1982).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError

#: What a symbol is made of: symbols, whose numbers are below NOTHING, bytes from LITERAL on, or nothing.
NOTHING = 0xEFF
LITERAL = 0xF00
#: The byte that ends each string; no UTF-8 has it.
END = 255
#: A symbol stands for at most this many bytes.
MAX_SYMBOL_BYTES = 64
_SIZES = (256, 512, 1024, 2048, NOTHING)
# Symbols are learnt from about this many bytes, spread over the text.
_SAMPLE_BYTES = 1 << 17
_LEAST_COUNT = 3


@dataclass(frozen=True, eq=False)
class Symbols:
    """A table of symbols, and how long their codes are.

    The numbers of symbols with short codes come first; those that end a string stand together.

    Attributes:
        pairs: int64[n, 2]: the two parts that each stands for.
        width: bits of a short code.
        more: bits that a long code has beyond those.
        n_short: symbols with short codes, or any number where ``more`` is 0.
        first_final, n_final: the symbols that end a string.
    """

    pairs: NDArray[np.int64]
    width: int
    more: int
    n_short: int
    first_final: int
    n_final: int

    def to_bytes(self) -> bytes:
        """Three bytes a symbol, as in the file."""
        numbers = (self.pairs[:, 0] | self.pairs[:, 1] << 12).astype("<u4")
        return np.ascontiguousarray(numbers.view(np.uint8).reshape(-1, 4)[:, :3]).tobytes()

    @staticmethod
    def pairs_of(data: bytes) -> NDArray[np.int64]:
        """The pairs that :meth:`to_bytes` gave."""
        raw = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int64)
        numbers = raw[:, 0] | raw[:, 1] << 8 | raw[:, 2] << 16
        pairs: NDArray[np.int64] = np.stack((numbers & 4095, numbers >> 12), axis=1)
        return pairs

    def is_final(self, symbol: int) -> bool:
        """Whether a symbol ends a string."""
        return self.first_final <= symbol < self.first_final + self.n_final

    def check(self) -> None:
        """Refuse a table that the format does not have.

        Raises:
            PackedFileError: ``strings``, as :attr:`texts`.
        """
        assert self.texts is not None

    @cached_property
    def texts(self) -> list[bytes]:
        """What each stands for, the end included.

        Raises:
            PackedFileError: ``strings`` if a symbol stands for itself, for none, or for more than 64
                bytes, or an end is not the last of those symbols that end a string.
        """
        self._check_pairs()
        n = len(self.pairs)
        texts = [b""] * LITERAL + [bytes([byte]) for byte in range(END + 1)]
        waiting = list(zip(range(n), *self.pairs.T.tolist(), strict=True))
        while waiting:
            still = []
            for symbol, left, right in waiting:
                if texts[left] and (texts[right] or right == NOTHING):
                    texts[symbol] = texts[left] + texts[right]
                    if len(texts[symbol]) > MAX_SYMBOL_BYTES:
                        raise PackedFileError("strings", f"symbol {symbol} has {len(texts[symbol])} bytes")
                else:
                    still.append((symbol, left, right))
            if len(still) == len(waiting):
                raise PackedFileError("strings", f"symbol {still[0][0]} stands for itself")
            waiting = still
        return texts[:n]

    def _check_pairs(self) -> None:
        left, right = self.pairs.T
        last = np.where(right == NOTHING, left, right)
        good = np.ones(len(left), bool)
        for part in (left, last):
            good &= (part < len(left)) | ((part >= LITERAL) & (part <= LITERAL + END))
        good &= np.where(right == NOTHING, left >= LITERAL, ~self._ends(left))
        good &= self._ends(last) == self._ends(np.arange(len(left)))
        if not good.all():
            symbol = int(np.argmin(good))
            raise PackedFileError(
                "strings", f"symbol {symbol} stands for the symbols {left[symbol]} and {right[symbol]}"
            )

    def _ends(self, parts: NDArray[np.int64]) -> NDArray[np.bool_]:
        final = (parts >= self.first_final) & (parts < self.first_final + self.n_final)
        ends: NDArray[np.bool_] = np.where(parts >= LITERAL, parts == LITERAL + END, final)
        return ends

    @cached_property
    def bits(self) -> NDArray[np.int64]:
        """Bits of each symbol's code."""
        bits: NDArray[np.int64] = self.width + self.more * (np.arange(len(self.pairs)) >= self.n_short)
        return bits

    def cut(self, text: bytes) -> NDArray[np.uint16] | None:
        """The symbols with the shortest codes that make strings, each with its end; None if they do not."""
        from sparsedevice.runtime import _core

        texts = self.texts
        order = sorted(range(len(texts)), key=texts.__getitem__)
        ends = np.cumsum([len(texts[i]) for i in order]).astype(np.uint32)
        costs = self.bits[order].astype(np.uint8)
        joined = b"".join(texts[i] for i in order)
        codes = _core.cut(joined, ends, np.array(order, np.uint16), costs, text)
        return None if codes is None else np.frombuffer(codes, np.uint16)

    def code(self, symbols: NDArray[np.uint16]) -> NDArray[np.int64]:
        """The code of each symbol: its number, or the first bits of one, then the rest."""
        number = symbols.astype(np.int64)
        over = number - self.n_short
        long = self.n_short + (over >> self.more) | (over & (1 << self.more) - 1) << self.width
        codes: NDArray[np.int64] = np.where(over < 0, number, long)
        return codes

    def reordered(self, count: NDArray[np.int64]) -> Symbols:
        """The same symbols, numbered and coded so that these counts of them take the fewest bits."""
        n = len(count)
        sums = np.concatenate(([0], np.cumsum(-np.sort(-count))))
        best = (int(sums[n]) * max(1, (n - 1).bit_length()), max(1, (n - 1).bit_length()), 0, n)
        for width in range(1, best[1]):
            for more in range(1, 13):
                n_short = min(n, ((1 << width + more) - n) // ((1 << more) - 1))
                if 0 <= n_short < 1 << width:
                    bits = int(sums[n_short]) * width + int(sums[n] - sums[n_short]) * (width + more)
                    best = min(best, (bits, width, more, n_short))
        _, width, more, n_short = best
        long = np.ones(n, bool)
        long[np.argsort(-count, kind="stable")[:n_short]] = False
        final = (np.arange(n) >= self.first_final) & (np.arange(n) < self.first_final + self.n_final)
        order = np.lexsort((np.arange(n), final ^ long, long))
        number = np.arange(LITERAL + 256)
        number[order] = np.arange(n)
        pairs = number[self.pairs[order]]
        first_final = int(np.flatnonzero(final[order])[0])
        return Symbols(pairs, width, more, n_short, first_final, self.n_final)


@lru_cache(maxsize=2)
def learn_symbols(whole: bytes) -> Symbols:
    """The table, of those tried, that makes symbols and codes of strings, each with its end, smallest."""
    # Kept, for a budget packs the same titles again and again.
    step = max(1, len(whole) // _SAMPLE_BYTES)
    text = b"".join(raw + b"\xff" for raw in whole.split(b"\xff")[:-1:step])
    used = sorted(set(whole) - {END})
    pairs = _learn_pairs(text, used)
    best: tuple[float, Symbols] | None = None
    for size in sorted({min(size, len(pairs)) for size in _SIZES if size > len(used)} | {len(used) + 1}):
        symbols = _best_of(pairs[: size + size // 2], size, text)
        bits = 24 * size + len(whole) / len(text) * int(symbols.bits[_cut(symbols, text)].sum())
        if best is None or bits < best[0]:
            best = bits, symbols
    assert best is not None
    return best[1]


def _cut(symbols: Symbols, text: bytes) -> NDArray[np.uint16]:
    codes = symbols.cut(text)
    assert codes is not None, "every byte of the text is a symbol"
    return codes


def _counts(symbols: Symbols, text: bytes) -> NDArray[np.int64]:
    return np.bincount(_cut(symbols, text), minlength=len(symbols.pairs))


def _best_of(pairs: list[tuple[int, int]], size: int, text: bytes) -> Symbols:
    """A table of the ``size`` symbols that are used most."""
    symbols = _table(pairs)
    if len(pairs) > size:
        symbols = _table(_without_rare(symbols, _counts(symbols, text).tolist(), size))
    for _ in range(2):
        symbols = symbols.reordered(_counts(symbols, text))
    return symbols


def _without_rare(symbols: Symbols, used: list[int], size: int) -> list[tuple[int, int]]:
    """The rarest pairs that no other pair is made of left out, one after the other."""
    pairs = [(int(left), int(right)) for left, right in symbols.pairs]
    parents = np.bincount(symbols.pairs.ravel(), minlength=len(pairs)).tolist()
    heap = [(used[i], i) for i, (_, right) in enumerate(pairs) if right != NOTHING and not parents[i]]
    heapq.heapify(heap)
    gone: set[int] = set()
    while len(pairs) - len(gone) > size and heap:
        count, symbol = heapq.heappop(heap)
        if count != used[symbol]:
            heapq.heappush(heap, (used[symbol], symbol))
            continue
        gone.add(symbol)
        for part in pairs[symbol]:
            if part >= NOTHING:
                continue
            parents[part] -= 1
            used[part] += count
            if not parents[part] and pairs[part][1] != NOTHING:
                heapq.heappush(heap, (used[part], part))
    kept = [i for i in range(len(pairs)) if i not in gone]
    number = {symbol: i for i, symbol in enumerate(kept)}
    return [(number.get(left, left), number.get(right, right)) for left, right in (pairs[i] for i in kept)]


def _table(pairs: list[tuple[int, int]]) -> Symbols:
    """A table of these symbols, those that end a string last, with codes of one width."""
    n = len(pairs)
    final = np.zeros(LITERAL + 256, bool)
    final[LITERAL + END] = True
    for symbol, (left, right) in enumerate(pairs):
        final[symbol] = final[left if right == NOTHING else right]
    order = np.argsort(final[:n], kind="stable")
    number = np.arange(LITERAL + 256)
    number[order] = np.arange(n)
    table = number[np.array(pairs, np.int64)[order]]
    n_final = int(final[:n].sum())
    return Symbols(table, max(1, (n - 1).bit_length()), 0, n, n - n_final, n_final)


def _learn_pairs(text: bytes, used: list[int]) -> list[tuple[int, int]]:
    """The bytes in use, the end, and pairs in the order in which they are found: the most frequent first."""
    number = np.zeros(256, np.int64)
    number[[*used, END]] = np.arange(len(used) + 1)
    codes = number[np.frombuffer(text, np.uint8)]
    pairs = [(LITERAL + byte, NOTHING) for byte in (*used, END)]
    final = np.zeros(NOTHING, bool)
    final[len(used)] = True
    lengths = np.ones(NOTHING, np.int64)
    while len(pairs) < NOTHING:
        n = len(pairs)
        batch = min(max(1, n // 8), NOTHING - n, *(size - n for size in _SIZES if size > n))
        key = np.where(final[codes[:-1]], -1, codes[:-1] * n + codes[1:])
        found, counts = np.unique(key, return_counts=True)
        fits = (found >= 0) & (lengths[found // n] + lengths[found % n] <= MAX_SYMBOL_BYTES)
        found, counts = found[fits & (counts >= _LEAST_COUNT)], counts[fits & (counts >= _LEAST_COUNT)]
        taken = found[np.argsort(-counts, kind="stable")[:batch]]
        if not len(taken):
            break
        left, right = taken // n, taken % n
        final[n : n + len(taken)] = final[right]
        lengths[n : n + len(taken)] = lengths[left] + lengths[right]
        part = np.where(
            np.arange(n) > len(used), np.arange(n), LITERAL + np.array([*used, END, *[0] * n])[:n]
        )
        pairs += zip(part[left].tolist(), part[right].tolist(), strict=True)
        codes = _join(codes, key, taken, n)
    return pairs


def _join(
    codes: NDArray[np.int64], key: NDArray[np.int64], taken: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Codes with the taken pairs as symbols; of pairs that overlap the first is joined."""
    order = np.argsort(taken)
    place = np.minimum(np.searchsorted(taken[order], key), len(taken) - 1)
    hit = np.flatnonzero(taken[order][place] == key)
    run = np.concatenate(([True], np.diff(hit) > 1))
    start = np.maximum.accumulate(np.where(run, np.arange(len(hit)), 0))
    joined = hit[(np.arange(len(hit)) - start) % 2 == 0]
    codes = codes.copy()
    codes[joined] = n + order[place[joined]]
    return np.delete(codes, joined + 1)
