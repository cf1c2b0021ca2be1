"""The Java library on a JVM: built once, asked through a process that speaks JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, PackedFileError, SparseDeviceError, UnknownIdError
from sparsedevice.runtime.recommender import Exclude, Recommendations, Recommender, check_ids, check_k

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "android_demo" / "sparsedevice" / "src" / "main"
CORE = ROOT / "sparsedevice" / "runtime" / "csrc"
HARNESS = Path(__file__).parent / "harness"
ERRORS = {"UnknownIdException": UnknownIdError, "BadRequestException": ConfigError}


def need_jdk() -> None:
    """Skip where there is no JDK; it has jni.h, and this package does not install without a C compiler."""
    if not shutil.which("javac") or not shutil.which("java"):
        pytest.skip("no JDK is installed; .ci/tools brings one where it may")


def java_home() -> Path:
    return Path(shutil.which("javac") or "").resolve().parents[1]


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def core_sources() -> list[Path]:
    """The C core without its Python binding."""
    return sorted(path for path in CORE.glob("sd_*.c") if not path.name.startswith("sd_python"))


def build_classes(folder: Path) -> Path:
    """Compile library and harness for Java 8."""
    sources = [*sorted(LIBRARY.glob("java/**/*.java")), *sorted(HARNESS.glob("**/*.java"))]
    classes = folder / "classes"
    # -Xlint without "options": a JDK of our day warns that Java 8 is old.
    run(["javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-d", str(classes), *map(str, sources)])
    return classes


def build_library(folder: Path) -> Path:
    """Compile core and JNI code for this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    system = {"linux": "linux", "darwin": "darwin"}.get(os.uname().sysname.lower(), "linux")
    include = java_home() / "include"
    flags = ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fPIC", "-shared", "-Wall"]
    paths = [f"-I{include}", f"-I{include / system}", f"-I{CORE}"]
    sources = [LIBRARY / "cpp" / "sparsedevice_jni.c", *core_sources()]
    name = "libsparsedevice.dylib" if system == "darwin" else "libsparsedevice.so"
    run([compiler() or "cc", *flags, *paths, *map(str, sources), "-o", str(folder / name)])
    return folder / name


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:3])} …: {done.stdout}{done.stderr}"
    return done.stdout


class Jvm:
    """A process with the library in it."""

    def __init__(self, classes: Path, libraries: Path | None = None, options: Sequence[str] = ()) -> None:
        path = [] if libraries is None else [f"-Djava.library.path={libraries}"]
        self._process = subprocess.Popen(
            ["java", *path, "-Xshare:auto", "-XX:+UseSerialGC", *options, "-cp", str(classes),
             "org.sparsedevice.harness.Server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def ask(self, call: str, **rest: Any) -> dict[str, Any]:
        """One question.

        Raises:
            SparseDeviceError: the one that stands for the library's exception.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": call, **rest}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the JVM ended with {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        if "promise" in answer:
            raise PackedFileError(answer["promise"], answer["message"])
        if "error" in answer:
            raise ERRORS.get(answer["error"], SparseDeviceError)(answer["message"])
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0


class JvmRecommender(Recommender):
    """The common interface over the Java library. What Java's types refuse by themselves is refused here."""

    def __init__(self, jvm: Jvm, path: Path, engine: str, **options: Any) -> None:
        self.jvm = jvm
        answer = jvm.ask("open", path=str(path), engine=engine, **options)
        self.model, self.engine = answer["model"], answer["engine"]

    def ask(self, call: str, **rest: Any) -> dict[str, Any]:
        return self.jvm.ask(call, model=self.model, **rest)

    def recommend(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        k: int = 10,
        exclude: Exclude = "seen",
        candidates: Sequence[str | int] | None = None,
    ) -> Recommendations:
        if isinstance(exclude, str) and exclude not in ("seen", "none"):
            raise ConfigError(f"exclude is {exclude!r}; use 'seen', 'none' or a list of ids")
        question = {
            **source(history, user),
            "k": number(k),
            "exclude": exclude if isinstance(exclude, str) else texts("exclude", exclude),
            "candidates": texts("candidates", candidates),
        }
        return found(self.ask("recommend", **question))

    def lookup(self, ids: Sequence[str | int]) -> sp.csr_array:
        rows = self.ask("lookup", items=texts("items", ids))["rows"]
        indptr = np.cumsum([0, *(len(row["columns"]) for row in rows)])
        columns = np.array([column for row in rows for column in row["columns"]], np.int32)
        values = floats([bits for row in rows for bits in row["values"]])
        return sp.csr_array((values, columns, indptr), shape=(len(rows), self.ask("about")["dim"]))

    def score(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        items: Sequence[str | int],
    ) -> NDArray[np.float32]:
        return floats(self.ask("score", **source(history, user), items=texts("items", items))["scores"])

    def similar(self, item: str | int, k: int = 10) -> Recommendations:
        return found(self.ask("similar", item=str(item), k=number(k)))


def source(history: Sequence[str | int] | None, user: str | int | None) -> dict[str, Any]:
    if history is not None and user is not None:
        raise ConfigError("give either a history or a user")
    return {"history": texts("history", history), "user": None if user is None else str(user)}


def texts(name: str, ids: Any) -> list[str] | None:
    check_ids(name, ids)
    return None if ids is None else [str(id_) for id_ in ids]


def number(k: Any) -> int:
    """An int that Java's type takes; those out of range go to the library."""
    return int(k) if isinstance(k, int) and not isinstance(k, bool) else check_k(k)


def floats(bits: list[int]) -> NDArray[np.float32]:
    return np.array(bits, np.int32).view(np.float32)


def found(answer: dict[str, Any]) -> Recommendations:
    rows = np.array(answer["rows"], np.int32)
    scores, titles = floats(answer["scores"]), answer["titles"]
    return Recommendations(answer["items"], scores, rows, answer["unknown"], titles)
