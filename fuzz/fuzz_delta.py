"""Random damage to the bodies of deltas and compact files, their checksums made right afterwards.

    python fuzz/fuzz_delta.py RUNS [SEED]

Every damaged file must be refused with a ``PackedFileError``, or give the right packed file byte for byte.
Ends with the first that does not, and writes it to ``crash-delta``.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from sparsedevice.errors import PackedFileError
from sparsedevice.packing import compact
from sparsedevice.packing.compact import expand_bytes
from sparsedevice.packing.delta import apply_delta
from tests.packing import test_compact, test_delta

Make = Callable[[bytes, bytes], bytes]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A copy with bytes changed, moved, doubled or cut off."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(min(200, len(copy)) if rng.random() < 0.4 else len(copy))
        copy[at] = rng.choice((0, 255, copy[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    if rng.random() < 0.15:
        begin, end = sorted(rng.randrange(len(copy)) for _ in range(2))
        copy[begin:end] = rng.choice((b"", bytes(copy[begin:end] * 2), bytes(end - begin)))
    return bytes(copy) or b"\0"


def targets(folder: Path) -> list[tuple[str, bytes, bytes, Make, Callable[[bytes], bytes], bytes]]:
    """Name, two parts to damage, how they become a file, who reads it, and the right answer."""
    found = []
    for number, (form, similarity) in enumerate((("int8", "cosine"), ("int4", "dot"), ("f32", "dot"))):
        place = folder / str(number)
        place.mkdir()
        base, delta, new = test_delta.small_delta(place, form, similarity)
        body = zlib.decompress(delta[test_delta.HEADER :])
        found.append(
            (
                f"delta {form}",
                body,
                b"",
                lambda first, _, delta=delta: test_delta.sealed(delta, first),
                lambda file, base=base: apply_delta(base, file),
                new,
            )
        )
        packed = place / "new.sdf"
        packed.write_bytes(new)
        compact(packed, place / "new.sdz")
        coded = (place / "new.sdz").read_bytes()
        if coded[:8] == b"\x93SDZ\r\n\x1a\n":
            found.append(
                (
                    f"compact {form}",
                    *test_compact.parts(coded),
                    lambda first, second, coded=coded: test_compact.sealed(coded, first, second),
                    expand_bytes,
                    new,
                )
            )
    return found


def main(runs: int, seed: int = 1) -> None:
    """Damage and read until ``runs`` files were read."""
    rng, began, refused = random.Random(seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch:
        all_targets = targets(Path(scratch))
        for done in range(runs):
            name, first, second, make, read, right = all_targets[done % len(all_targets)]
            if second and rng.random() < 0.5:
                second = damaged(second, rng)
            else:
                first = damaged(first, rng)
            file = make(first, second)
            try:
                answer = read(file)
            except PackedFileError:
                refused += 1
                continue
            except BaseException:
                Path("crash-delta").write_bytes(file)
                raise
            if answer != right:
                Path("crash-delta").write_bytes(file)
                raise SystemExit(f"{name}: run {done} of seed {seed} gave another file; see crash-delta")
    took = time.monotonic() - began
    sys.stdout.write(f"Done {runs} runs in {took:.0f} s, {refused} refused, on {len(all_targets)} files\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
