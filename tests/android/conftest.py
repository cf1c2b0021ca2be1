"""The Java library, built once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.android.jvm import Jvm, build_classes, build_library, need_jdk


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_jdk()
    return build_classes(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="session")
def jvm(classes: Path) -> Iterator[Jvm]:
    """A JVM without the native library."""
    process = Jvm(classes)
    yield process
    process.close()


@pytest.fixture(scope="session")
def jni(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    """A JVM that checks every JNI call, with the native library."""
    need_jdk()
    library = build_library(tmp_path_factory.mktemp("jni"))
    process = Jvm(classes, library.parent, ["-Xcheck:jni"])
    yield process
    process.close()


@pytest.fixture(params=["JAVA", "NATIVE"])
def engine(request: pytest.FixtureRequest) -> tuple[Jvm, str]:
    """Both engines, each in its JVM."""
    return request.getfixturevalue("jvm" if request.param == "JAVA" else "jni"), request.param
