"""The libraries that an APK holds, run under emulation against the conformance suite, without a JVM."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.exporters.row_recommender import RowRecommender
from sparsedevice.packing import PackedFile
from tests.android.jvm import ROOT, java_home, need_jdk, run
from tests.packing.small import write_small
from tests.runtime.conformance import CHECKS, Subject

TOOLS = ROOT / "android_demo" / "tools"
HISTORY, USER, ITEM = range(3)
SCALAR, NEON, NEON_DOT = 0, 3, 4
# abi: compiler and emulator of a machine that runs it, and the kernels that it must have
MACHINES = {
    "arm64-v8a": ("aarch64-linux-gnu-gcc", ["qemu-aarch64", "-cpu", "max"], (NEON_DOT, NEON, SCALAR)),
    "armeabi-v7a": ("arm-linux-gnueabi-gcc", ["qemu-arm", "-cpu", "max"], (SCALAR,)),
}


class Machine:
    """A library for Android and the program that calls it."""

    def __init__(self, abi: str, folder: Path) -> None:
        compiler, emulator, self.kernels = MACHINES[abi]
        run([sys.executable, str(TOOLS / "native.py"), "--abi", abi, "--out", str(folder)])
        self.library = folder / abi / "libsparsedevice.so"
        self.program = folder / "emulated"
        include = java_home() / "include"
        flags = ["-std=c11", "-O1", "-D_GNU_SOURCE", "-Wall", f"-I{include}", f"-I{include / 'linux'}"]
        run([compiler, *flags, str(Path(__file__).with_name("emulated.c")), "-o", str(self.program)])
        libc = Path(run([compiler, "-print-file-name=libc.so.6"]).strip()).resolve()
        # Android's C library is called libc.so; here glibc takes its place under that name.
        (folder / "libc.so").symlink_to(libc)
        self.command = [
            *emulator,
            "-L",
            str(libc.parents[1]),
            "-E",
            f"LD_LIBRARY_PATH={folder}",
            str(self.program),
        ]


class EmulatedRecommender(RowRecommender):
    """Row numbers over the JNI functions; ids and titles come from the packed file."""

    def __init__(self, machine: Machine, path: Path, kernel: int) -> None:
        super().__init__(PackedFile.open(path))
        titles = self.packed.titles
        self.ids, self.titles = list(self.packed.vocabulary.ids), None if titles is None else list(titles)
        command = [*machine.command, str(machine.library), str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.opened = self.process.stdout.readline().split()
        assert self.opened[:4] == ["open", "0", "verify", "0"]
        assert self.opened[5] == str(machine.kernels[0]), "the fastest kernel is taken"
        assert self.ask("kernel", kernel) == [0]

    def ask(self, *words: object) -> list[int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return [int(word, 0) for word in self.process.stdout.readline().split()]

    def top_rows(self, *, history, user, like, excluded, candidates, k):
        source, row = (USER, user) if user >= 0 else (ITEM, like) if like >= 0 else (HISTORY, 0)
        chosen = [-1] if candidates is None else [len(candidates), *candidates]
        room = min(k, self.packed.n_items)
        lists = [len(history), *history, len(excluded), *excluded, *chosen]
        count, *words = self.ask("recommend", source, row, room, 0, *lists)
        answer, lengths, text = words[: 2 * count], words[2 * count : -1], f"{words[-1]:x}"[1:]
        written, at = bytes.fromhex(text), 0
        for row, *own in zip(answer[::2], lengths[::2], lengths[1::2], strict=True):
            for texts, length in zip((self.ids, self.titles), own, strict=True):
                if length < 0:
                    assert texts is None or room <= 4, "there was room"
                else:
                    assert written[at : at + length].decode() == texts[row]
                    at += length
        assert at == len(written)
        return np.array(answer[::2], np.int64), np.array(answer[1::2], np.int32).view(np.float32)

    def score(self, *, history=None, user=None, items):
        known = [] if history is None else self._known(history, [])
        source, row = (HISTORY, 0) if history is not None else (USER, self._user_row(user))
        wanted = self._rows(items)
        status, *answer = self.ask("score", source, row, len(known), *known, len(wanted), *wanted)
        assert status == 0
        return np.array(answer[1::2], np.int32).view(np.float32)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    """A function that builds a machine's library and program once."""

    @functools.cache
    def build(abi: str) -> Machine:
        compiler, emulator, _ = MACHINES[abi]
        for tool in (compiler, emulator[0], "clang", "ld.lld"):
            if not shutil.which(tool):
                pytest.skip(f"{tool} is not installed")
        need_jdk()
        return Machine(abi, tmp_path_factory.mktemp(abi))

    return build


@pytest.mark.parametrize(
    ("abi", "kernel"), [(abi, kernel) for abi, (_, _, kernels) in MACHINES.items() for kernel in kernels]
)
# What is refused, and in which words, is the base's; the JNI functions answer in rows.
@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check.__name__ != "check_refusals"],
    ids=lambda check: check.__name__,
)
def test_library_for_android(check, abi, kernel, machines, tmp_path):
    machine = machines(abi)
    opened: list[EmulatedRecommender] = []

    def open_(path):
        if opened:
            opened[-1].close()
        opened.append(EmulatedRecommender(machine, path, kernel))
        return opened[-1]

    check(Subject(open_, tmp_path))
    opened[-1].close()


@pytest.mark.parametrize("abi", sorted(MACHINES))
def test_library_for_android_finds_ids(abi, machines, tmp_path):
    write_small(tmp_path / "small.sd")
    machine = machines(abi)
    model = EmulatedRecommender(machine, tmp_path / "small.sd", machine.kernels[0])
    ids = [*model.packed.vocabulary.ids, "nobody", "item-", "item-700"]
    assert len(ids) > 64, "more than are found at once"
    assert model.ask("find", len(ids), *ids) == [*range(model.packed.n_items), -1, -1, -1]
    model.close()


@pytest.mark.parametrize("abi", sorted(MACHINES))
def test_library_is_as_android_wants_it(abi, machines):
    """Small, pages of 16 KB, and nothing of the device but its C library."""
    machine = machines(abi)
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("needs readelf on the PATH")
    assert os.path.getsize(machine.library) <= 200_000
    text = run([readelf, "-dlW", str(machine.library)])
    assert [line.split("[")[1] for line in text.splitlines() if "(NEEDED)" in line] == ["libc.so]"]
    assert "[libsparsedevice.so]" in text
    loads = [line.split() for line in text.splitlines() if line.split()[:1] == ["LOAD"]]
    assert loads
    assert all(line[-1] == "0x4000" for line in loads)
    symbols = run([readelf, "--dyn-syms", "-W", str(machine.library)])
    wanted = {line.split()[7] for line in symbols.splitlines() if " UND " in line and len(line.split()) > 7}
    assert wanted <= {"memcpy", "memmove", "memset", "getauxval"} | {
        w for w in wanted if w.startswith("__aeabi_mem")
    }
