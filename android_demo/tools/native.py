#!/usr/bin/env python3
"""Build libsparsedevice.so for Android with clang and lld alone, where there is no NDK.

The C core and its JNI code need next to nothing of the C library, so they are linked against an empty libc.so
that has the right name; Android's own takes its place on the device. Gradle with the NDK builds the same
sources (sparsedevice/src/main/cpp/CMakeLists.txt).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TARGETS = {
    "arm64-v8a": "aarch64-linux-android23",
    "armeabi-v7a": "armv7a-linux-androideabi23",
    "x86_64": "x86_64-linux-android23",
}
#: What the library may take from the device: functions that every Android has from API 23 on.
SYMBOLS = ("memcpy", "memmove", "memset", "getauxval")
ARM_SYMBOLS = ("__aeabi_memcpy", "__aeabi_memcpy4", "__aeabi_memcpy8", "__aeabi_memclr", "__aeabi_memclr4",
               "__aeabi_memclr8", "__aeabi_memset", "__aeabi_memset4", "__aeabi_memset8")  # fmt: skip
#: Beginnings of the names of the core's sources for other places.
ELSEWHERE = ("sd_python", "sd_wasm")
PAGE = 16384
FLAGS = [
    "-std=c11",
    "-O2",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-fPIC",
    "-ffunction-sections",
    "-Wall",
    "-Wextra",
]
FREESTANDING = ["-ffreestanding", "-nostdlibinc", "-nostdlib", "-fno-stack-protector", "-shared"]
LINKER = ["-fuse-ld=lld", f"-Wl,-z,max-page-size={PAGE}", "-Wl,--hash-style=both", "-Wl,--no-undefined",
          "-Wl,--gc-sections", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--build-id=sha1", "-Wl,-s"]  # fmt: skip


def project() -> Path:
    """The Gradle project's folder."""
    return Path(__file__).resolve().parents[1]


def missing() -> list[str]:
    """What this machine lacks, as names of things to install."""
    lacking = []
    if not shutil.which("clang"):
        lacking.append("clang")
    if not shutil.which("ld.lld"):
        lacking.append("lld")
    if jni_header() is None:
        lacking.append("a JDK with include/jni.h (openjdk-17-jdk-headless)")
    return lacking


def jni_header() -> Path | None:
    """The folder of the JDK's jni.h, which is the same on all platforms."""
    javac = shutil.which("javac")
    if javac is None:
        return None
    folder = Path(javac).resolve().parents[1] / "include"
    return folder if (folder / "jni.h").is_file() else None


def core_folder() -> Path:
    """The core's sources: beside the JNI code in an exported project, else in the repository."""
    own = project() / "sparsedevice" / "src" / "main" / "cpp" / "core"
    return own if own.is_dir() else project().parent / "sparsedevice" / "runtime" / "csrc"


def sources() -> list[Path]:
    """The JNI code and the core."""
    core = [path for path in core_folder().glob("sd_*.c") if not path.name.startswith(ELSEWHERE)]
    return [project() / "sparsedevice" / "src" / "main" / "cpp" / "sparsedevice_jni.c", *sorted(core)]


def build(abi: str, out: Path) -> Path:
    """Build the library of one ABI into ``out/ABI``."""
    folder = out / abi
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libsparsedevice.so"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "stdio.h").write_text("/* jni.h includes it and uses nothing of it. */\n")
        names = [*SYMBOLS, *(ARM_SYMBOLS if abi == "armeabi-v7a" else ())]
        (work / "libc.c").write_text("".join(f"void {symbol}(void) {{}}\n" for symbol in names))
        common = ["clang", f"--target={TARGETS[abi]}", *FREESTANDING, *LINKER]
        call([*common, "-w", "-Wl,-soname,libc.so", str(work / "libc.c"), "-o", str(work / "libc.so")])
        headers = [path.parent for path in (jni_header() or Path()).glob("**/jni*.h")]
        paths = [f"-I{work}", f"-I{core_folder()}", *[f"-isystem{path}" for path in headers]]
        named = [*FLAGS, "-Wl,-soname,libsparsedevice.so", *paths]
        call([*common, *named, *map(str, sources()), str(work / "libc.so"), "-o", str(library)])
    return library


def call(command: list[str]) -> None:
    """Run a tool; what it says is shown where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    out = project() / "build" / "jniLibs"
    parser.add_argument("--out", type=Path, default=out, help="folder for the libraries")
    parser.add_argument("--abi", choices=TARGETS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    if missing():
        raise SystemExit(f"the native library needs {' and '.join(missing())}; install it, or use the NDK")
    for abi in arguments.abi or TARGETS:
        library = build(abi, arguments.out)
        sys.stdout.write(f"{library}: {library.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
