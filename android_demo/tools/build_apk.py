#!/usr/bin/env python3
"""Build, sign and verify the demo app's APK with Debian's tools, from the sources that Gradle builds.

    python3 tools/build_apk.py                   # app/build/outputs/sparsedevice-demo.apk
    adb install -r app/build/outputs/sparsedevice-demo.apk

Needs a JDK, aapt, zipalign, apksigner, clang and lld; dx and android.jar come from DX_JAR and ANDROID_JAR, or
from Debian 11's packages (tools/debian.py). The key is a debug key made on the spot: sign what you publish
with your own.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import native
from debian import find_jars
from native import TARGETS, call, project

PACKAGE, MIN_SDK, TARGET_SDK = "org.sparsedevice.demo", 23, 34
PACKAGES = {"javac": "openjdk-17-jdk-headless", "keytool": "openjdk-17-jdk-headless", "aapt": "aapt",
            "zipalign": "zipalign", "apksigner": "apksigner", "clang": "clang", "ld.lld": "lld"}  # fmt: skip
#: The app's model, packed or in the compact coding.
MODELS = ("model.sd", "model.sdz")
#: Extra field in which the tools of Android keep the alignment of an entry and its padding.
ALIGNMENT_FIELD = 0xD935
LIBRARY_ALIGNMENT, MODEL_ALIGNMENT = 16384, 4096


def missing() -> list[str]:
    """Debian packages that would bring what this machine lacks."""
    lacking = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    return list(dict.fromkeys(lacking + ([] if native.jni_header() else ["openjdk-17-jdk-headless"])))


def build(out: Path, work: Path) -> None:
    """The whole way from sources to a signed and verified APK."""
    assets = project() / "app" / "src" / "main" / "assets"
    if not any((assets / name).is_file() for name in MODELS):
        raise SystemExit(
            f"{assets} holds none of {' and '.join(MODELS)}: export a run with --target android and build"
            " there, or copy a packed or compact file there"
        )
    if missing():
        raise SystemExit(f"building an APK here needs: apt-get install {' '.join(missing())}")
    dx, android = find_jars(work / "debian")
    classes = compile_java(work, android)
    dex = work / "classes.dex"
    call(["java", "-cp", str(dx), "com.android.dx.command.Main", "--dex", f"--min-sdk-version={MIN_SDK}",
          f"--output={dex}", str(classes)])  # fmt: skip
    resources = work / "resources.apk"
    aapt(work, android, "-f", "-F", str(resources))
    libraries = {abi: native.build(abi, work / "jniLibs") for abi in TARGETS}
    unsigned = work / "unsigned.apk"
    assemble(unsigned, resources, dex, libraries, assets)
    sign(unsigned, out, work)
    verify(out)


def aapt(work: Path, android: Path, *what: str) -> None:
    """Run aapt over manifest and resources. What Gradle takes from build.gradle is said here."""
    main = project() / "app" / "src" / "main"
    manifest = work / "AndroidManifest.xml"
    text = (main / "AndroidManifest.xml").read_text(encoding="utf-8")
    text = text.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1)
    # Libraries and model are used where they lie in the APK.
    text = text.replace("<application\n", '<application\n        android:extractNativeLibs="false"\n', 1)
    manifest.write_text(text, encoding="utf-8")
    call(["aapt", "package", *what, "-M", str(manifest), "-S", str(main / "res"), "-I", str(android),
          "--min-sdk-version", str(MIN_SDK), "--target-sdk-version", str(TARGET_SDK),
          "--version-code", "1", "--version-name", "1.0", "-0", "arsc"])  # fmt: skip


def compile_java(work: Path, android: Path) -> Path:
    """Compile library and app against API 23 for Java 8, which is what dx understands."""
    generated, classes = work / "generated", work / "classes"
    for folder in (generated, classes):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    aapt(work, android, "-m", "-J", str(generated))
    folders = [project() / module / "src" / "main" / "java" for module in ("sparsedevice", "app")]
    sources = [str(path) for folder in (*folders, generated) for path in sorted(folder.glob("**/*.java"))]
    call(["javac", "-source", "8", "-target", "8", "-Xlint:-options", "-encoding", "UTF-8", "-bootclasspath",
          str(android), "-d", str(classes), *sources])  # fmt: skip
    return classes


def assemble(apk: Path, resources: Path, dex: Path, libraries: dict[str, Path], assets: Path) -> None:
    """Write the APK: libraries and model stored, so that they can be mapped, at the start of a page."""
    with zipfile.ZipFile(apk, "w") as out:
        with zipfile.ZipFile(resources) as packed:
            for name in packed.namelist():
                add(out, name, packed.read(name), stored=name.endswith(".arsc"), alignment=4)
        add(out, "classes.dex", dex.read_bytes())
        for abi, library in libraries.items():
            name = f"lib/{abi}/{library.name}"
            add(out, name, library.read_bytes(), stored=True, alignment=LIBRARY_ALIGNMENT)
        for path in sorted(assets.iterdir()):
            model = path.suffix in (".sd", ".sdz")
            add(out, f"assets/{path.name}", path.read_bytes(), stored=model, alignment=MODEL_ALIGNMENT)


def add(out: zipfile.ZipFile, name: str, data: bytes, *, stored: bool = False, alignment: int = 1) -> None:
    """Add an entry; the bytes of a stored one begin at a multiple of ``alignment``."""
    entry = zipfile.ZipInfo(name)  # of 1980: the same input gives the same bytes
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if stored:
        start = out.fp.tell() + 30 + len(name.encode()) + 6  # type: ignore[union-attr]
        padding = -start % alignment
        entry.extra = struct.pack("<HHH", ALIGNMENT_FIELD, 2 + padding, alignment) + bytes(padding)
    out.writestr(entry, data)


def sign(unsigned: Path, out: Path, work: Path) -> None:
    """Sign with a debug key."""
    key = work / "debug.keystore"
    if not key.is_file():
        call(["keytool", "-genkeypair", "-keystore", str(key), "-storepass", "android", "-keypass", "android",
              "-alias", "debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000",
              "-dname", "CN=Debug"])  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    call(["apksigner", "sign", "--ks", str(key), "--ks-pass", "pass:android", "--out", str(out),
          "--min-sdk-version", str(MIN_SDK), str(unsigned)])  # fmt: skip


def offsets(apk: Path) -> dict[str, tuple[bool, int]]:
    """Of each entry, whether it is stored, and where its bytes begin."""
    found = {}
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as file:
        for entry in archive.infolist():
            file.seek(entry.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            stored = entry.compress_type == zipfile.ZIP_STORED
            found[entry.filename] = (stored, entry.header_offset + 30 + name + extra)
    return found


def verify(apk: Path) -> None:
    """Check signature, alignment and badging, and say what was found."""
    call(["zipalign", "-c", "-p", "4", str(apk)])
    for name, (stored, offset) in offsets(apk).items():
        alignment = (
            LIBRARY_ALIGNMENT
            if name.endswith(".so")
            else MODEL_ALIGNMENT
            if name.endswith((".sd", ".sdz"))
            else 1
        )
        if alignment > 1 and (not stored or offset % alignment):
            raise SystemExit(f"{apk}: {name} is not stored at a multiple of {alignment} bytes")
    said = output(["apksigner", "verify", "--verbose", "--min-sdk-version", str(MIN_SDK), str(apk)])
    schemes = [
        line.split()[2] for line in said.splitlines() if line.startswith("Verified using") and "true" in line
    ]
    badging = output(["aapt", "dump", "badging", str(apk)])
    wanted = (f"package: name='{PACKAGE}'", f"sdkVersion:'{MIN_SDK}'", f"targetSdkVersion:'{TARGET_SDK}'",
              "launchable-activity", *TARGETS)  # fmt: skip
    for text in wanted:
        if text not in badging:
            raise SystemExit(f"{apk}: aapt dump badging does not say {text}")
    sys.stdout.write(f"{apk}: {apk.stat().st_size:,} bytes, signatures {' '.join(schemes)} verify\n")
    sys.stdout.write("".join(line + "\n" for line in badging.splitlines() if line.split(":")[0] in SHOWN))


SHOWN = ("package", "sdkVersion", "targetSdkVersion", "native-code")


def output(command: list[str]) -> str:
    """What a tool says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    outputs = project() / "app" / "build"
    parser.add_argument("--out", type=Path, default=outputs / "outputs" / "sparsedevice-demo.apk")
    parser.add_argument("--work", type=Path, default=outputs / "debian", help="folder for what lies between")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    build(arguments.out, arguments.work)


if __name__ == "__main__":
    main()
