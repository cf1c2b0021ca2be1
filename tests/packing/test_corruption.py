"""Truncated files, and thousands of copies with flipped bytes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.core import CoreRecommender
from tests.packing.small import with_checksums, write_small

FORMS = [
    ("int8", "sliced"),
    ("int4", "sliced"),
    ("int8", "wide"),
    ("int8", "columns"),
    ("int8", "rising"),
    ("int8", "csr"),
    ("int4", "csr"),
    ("f32", "csr"),
    ("f16", "csr"),
]


def flipped(data: bytes, rng: random.Random) -> bytearray:
    """A copy with one to eight bytes changed, at places of every size."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        copy[rng.randrange(len(copy))] ^= (
            1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(1, 256)
        )
    return copy


def test_truncated_at_every_length_is_refused(tmp_path):
    path = tmp_path / "small.sd"
    write_small(path)
    data = path.read_bytes()
    for length in range(len(data)):
        with pytest.raises(PackedFileError):
            CoreRecommender(data[:length])
    for length in range(0, len(data), 37):
        with pytest.raises(PackedFileError):
            PackedFile(data[:length])


@pytest.mark.parametrize(("values", "layout"), FORMS)
def test_flipped_bytes_are_refused(values, layout, tmp_path):
    path = tmp_path / "small.sd"
    write_small(path, values=values, layout=layout)
    data = path.read_bytes()
    rng = random.Random(1)
    for _ in range(1000):
        copy = flipped(data, rng)
        if copy == data:
            continue
        with pytest.raises(PackedFileError):
            CoreRecommender(copy)


@pytest.mark.parametrize(("values", "layout"), FORMS)
def test_numpy_and_core_refuse_the_same_files(values, layout, tmp_path):
    """With checksums made right after the flip, only the deep checks are left to find it."""
    path = tmp_path / "small.sd"
    write_small(path, values=values, layout=layout)
    data = path.read_bytes()
    rng = random.Random(2)
    refused = 0
    for _ in range(150):
        copy = bytearray(data)
        at = rng.randrange(600, len(copy))
        copy[at] ^= rng.randrange(1, 256)
        fixed = with_checksums(copy)
        path.write_bytes(fixed)
        found: list[str | None] = []
        for open_ in (PackedFile.open, CoreRecommender.open):
            try:
                open_(path)
                found.append(None)
            except PackedFileError as error:
                found.append(error.promise)
        assert (found[0] is None) == (found[1] is None), f"byte {at} became {copy[at]}: {found}"
        refused += found[0] is not None
    assert refused > 10


# Without verification every call must come back: with an answer, or with an error of this package.
UNVERIFIED = """
import random, sys
from sparsedevice.errors import SparseDeviceError
from sparsedevice.runtime.core import CoreRecommender
from tests.packing.small import with_checksums
from tests.packing.test_corruption import flipped

data = open(sys.argv[1], "rb").read()
rng = random.Random(3)
opened = 0
for _ in range(int(sys.argv[2])):
    copy = flipped(data, rng)
    try:
        core = CoreRecommender(with_checksums(copy), verify=False)
    except SparseDeviceError:
        continue
    opened += 1
    for kernel in core.kernels:
        core.kernel = kernel
        for call in (
            lambda: core.recommend(history=["item-1", "item-2", "item-60"], k=7),
            lambda: core.recommend(user="98", k=70, exclude=["item-3"]),
            lambda: core.recommend(user="99", k=3, candidates=["item-3", "item-40"]),
            lambda: core.similar("item-9", 100),
            lambda: core.score(user="100", items=["item-3", "item-69"]),
            lambda: core.lookup(["item-3", "item-69"]),
        ):
            try:
                call()
            except SparseDeviceError:
                pass
print(opened)
"""


@pytest.mark.parametrize(("values", "layout"), FORMS)
def test_flipped_bytes_never_crash_unverified(values, layout, tmp_path):
    path = tmp_path / "small.sd"
    write_small(path, values=values, layout=layout)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", UNVERIFIED, str(path), "1000"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 500
