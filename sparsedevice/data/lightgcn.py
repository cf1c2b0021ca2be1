"""Reader of LightGCN folders: lines of ``user item item …``, all whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.interactions import Interactions
from sparsedevice.data.log import PARTS, Log
from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError
from sparsedevice.vocabulary import Vocabulary

_FILES = {"train": ("train.txt",), "validation": ("valid.txt", "val.txt"), "test": ("test.txt",)}
_BLOCK_BYTES = 32 << 20  # parsing needs about 40 times its block
_MOST_DIGITS = 18  # of an int64
_POWERS = 10 ** np.arange(_MOST_DIGITS, dtype=np.int64)


def read_lightgcn(path: Path, options: DataOptions) -> Log:  # noqa: ARG001 - every reader has this signature
    """Read a folder with train.txt (valid.txt and test.txt where present), or one such file.

    Rows are numbered by the size of the id, so in a file with ids 0 … n-1 a row is its id. Files that map the
    ids to others (item_list.txt, user_list.txt) are left alone.

    Raises:
        DataError: if train.txt is missing, a file is empty, or a line holds anything but whole numbers.
    """
    found = _find(path)
    columns = [(part, *_read_pairs(file)) for part, file in found]
    users = np.concatenate([users for _, users, _ in columns])
    items = np.concatenate([items for _, _, items in columns])
    if len(users) == 0:
        raise DataError(f"{found[0][1]} holds no items; each line must read: user item item …")
    lengths = [len(users) for _, users, _ in columns]
    part = np.repeat(np.array([PARTS.index(part) for part, _, _ in columns], dtype=np.int8), lengths)
    user_index, user_ids = _number(users)
    item_index, item_ids = _number(items)
    interactions = Interactions(user_index, item_index, user_ids, item_ids)
    return Log(interactions, part if len(found) > 1 else None, tuple(file.name for _, file in found))


def _find(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [("train", path)]
    found = [
        (part, path / name) for part, names in _FILES.items() for name in names if (path / name).is_file()
    ]
    if not found or found[0][0] != "train":
        raise DataError(f"{path} is no LightGCN folder: looked for train.txt (and test.txt, valid.txt)")
    return found


def _read_pairs(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users and items, int64[n] each, of one file."""
    users, items = [], []
    line = 1
    try:
        with path.open("rb") as file:
            for block in _blocks(file):
                block_users, block_items, n_lines = _parse(block, path, line)
                users.append(block_users)
                items.append(block_items)
                line += n_lines
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not users:
        raise DataError(f"{path} is empty; each line must read: user item item …")
    return np.concatenate(users), np.concatenate(items)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines."""
    while block := file.read(_BLOCK_BYTES):
        yield block + file.readline()


def _parse(block: bytes, path: Path, first_line: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Users and items of the pairs in a block of whole lines, and the number of line ends."""
    text = np.frombuffer(block, dtype=np.uint8)
    is_digit = (text >= ord("0")) & (text <= ord("9"))
    is_newline = text == ord("\n")
    is_space = (text == ord(" ")) | (text == ord("\t")) | (text == ord("\r"))
    if not (is_digit | is_newline | is_space).all():
        raise _foreign(block, int(np.flatnonzero(~(is_digit | is_newline | is_space))[0]), path, first_line)

    edges = np.diff(is_digit.view(np.int8), prepend=np.int8(0), append=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    lengths = ends - starts
    if len(lengths) and lengths.max() > _MOST_DIGITS:
        raise _foreign(block, int(starts[lengths.argmax()]), path, first_line)
    values = np.zeros(len(starts), dtype=np.int64)
    for place in range(int(lengths.max(initial=0))):
        has_place = lengths > place
        digits = text[ends[has_place] - 1 - place] - ord("0")
        values[has_place] += digits * _POWERS[place]

    line = np.searchsorted(np.flatnonzero(is_newline), starts)
    leads = np.diff(line, prepend=-1) > 0  # the first number of a line is its user
    users = np.repeat(values[leads], np.diff(np.flatnonzero(leads), append=len(values)))
    return users[~leads], values[~leads], int(is_newline.sum())


def _foreign(block: bytes, at: int, path: Path, first_line: int) -> DataError:
    start = block.rfind(b"\n", 0, at) + 1
    before = len(block[start:at].split(b" ")[-1])
    word = block[at - before :].split(maxsplit=1)[0].decode("utf-8", "backslashreplace")[:40]
    line = first_line + block.count(b"\n", 0, at)
    return DataError(
        f"{path}, line {line}: {word!r} is not a whole number of at most {_MOST_DIGITS} digits; "
        "each line must read: user item item …"
    )


def _number(values: NDArray[np.int64]) -> tuple[NDArray[np.int32], Vocabulary]:
    distinct, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), Vocabulary([str(value) for value in distinct.tolist()])
