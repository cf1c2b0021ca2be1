"""Top-20 over a catalogue: the C core, the Java library over it by JNI, and pure Java; one thread each.

    python benchmarks/android/topk.py                  # synthetic, 40,981 x 64, 90 % sparse
    python benchmarks/android/topk.py model.sd         # a packed file

The arms are processes that take turns, so that a busy moment hits all of them; a turn asks each for the same
histories, ids in, ids out. Reported are medians over all queries and the median of the ratios within a turn.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsedevice.bench.trace import Trace
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.core import CoreRecommender

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.runtime.topk import synthetic  # noqa: E402
from tests.android.jvm import CORE, Jvm, build_classes, build_library, compiler, core_sources  # noqa: E402

KERNELS = ("scalar", "avx2", "avx512", "neon", "neon-dot", "wasm-simd")


def build_core(folder: Path) -> Path:
    """The C program of this folder."""
    program = folder / "core_baseline"
    flags = ["-std=c11", "-O3", "-ffp-contract=off", f"-I{CORE}"]
    sources = [Path(__file__).parent / "core_baseline.c", *core_sources()]
    subprocess.run([compiler() or "cc", *flags, *map(str, sources), "-o", str(program)], check=True)
    return program


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, help="a packed file; by default a synthetic table")
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("-n", type=int, default=256, help="queries of an arm in a turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--values", default="int8", help="of the synthetic table: int8 or int4")
    arguments = parser.parse_args()
    if not shutil.which("javac"):
        raise SystemExit("no JDK is installed; on Debian: apt install openjdk-17-jdk-headless")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = arguments.file or folder / "synthetic.sd"
        if arguments.file is None:
            synthetic(path, 40_981, 64, 6.4, arguments.values)
        measure(path, folder, arguments.k, arguments.n, arguments.turns)


def measure(path: Path, folder: Path, k: int, n: int, turns: int) -> None:
    packed = PackedFile.open(path)
    ids = packed.vocabulary.ids
    histories = [[ids[int(row)] for row in history] for history in Trace(packed.n_items).histories()]
    (folder / "histories.txt").write_text("".join(" ".join(history) + "\n" for history in histories))
    program = build_core(folder)
    classes, library = build_classes(folder), build_library(folder / "lib")
    kernel = CoreRecommender.open(path).kernel

    def core(kernel: str) -> Callable[[int], np.ndarray]:
        command = [str(program), str(path), str(folder / "histories.txt"), str(k), str(n)]

        def ask(warmup: int) -> np.ndarray:
            full = [*command, str(warmup), str(KERNELS.index(kernel))]
            lines = subprocess.run(full, check=True, capture_output=True, text=True).stdout.split()
            return np.array(lines, np.int64)

        return ask

    def java(engine: str, libraries: Path | None) -> tuple[Callable[[int], np.ndarray], Jvm]:
        jvm = Jvm(classes, libraries)
        model = jvm.ask("open", path=str(path), engine=engine)["model"]

        def ask(warmup: int) -> np.ndarray:
            answer = jvm.ask("bench", model=model, histories=histories, k=k, n=n, warmup=warmup)
            allocated[engine] = answer["allocated"] / n
            return np.array(answer["ns"], np.int64)

        return ask, jvm

    allocated: dict[str, float] = {}
    jni, jni_jvm = java("NATIVE", library.parent)
    pure, pure_jvm = java("JAVA", None)
    arms = {
        f"C core ({kernel})": core(kernel),
        "JNI": jni,
        "pure Java": pure,
        **({"C core (avx2)": core("avx2")} if kernel == "avx512" else {}),
        "C core (scalar)": core("scalar"),
    }
    for ask in (jni, pure):
        ask(20_000)  # lets the JIT compiler finish
    samples: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    for _ in range(turns):
        for name, ask in arms.items():
            samples[name].append(ask(n) / 1000)
    for jvm in (jni_jvm, pure_jvm):
        jvm.close()
    report(packed, samples, k)
    for engine, allocation in allocated.items():
        print(f"{engine}: {allocation:.0f} bytes allocated a query, the result included")


def report(packed: PackedFile, samples: dict[str, list[np.ndarray]], k: int) -> None:
    """A table; the first arm is what the others are compared with."""
    first = [np.median(turn) for turn in next(iter(samples.values()))]
    shape = f"{packed.n_items} x {packed.dim}, {packed.nnz} entries, {packed.values}, {packed.layout}"
    print(f"{shape}; top-{k}, {len(first)} turns")
    print("| arm | p50, us | p90, us | times the core's |\n|---|---|---|---|")
    for name, parts in samples.items():
        every = np.concatenate(parts)
        ratio = np.median([np.median(part) / base for part, base in zip(parts, first, strict=True)])
        print(f"| {name} | {np.median(every):.1f} | {np.percentile(every, 90):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
