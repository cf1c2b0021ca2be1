"""Builds the C core as a Python extension; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CSRC = "sparsedevice/runtime/csrc"
# No contraction into fused multiply-adds: every backend must round in the same places.
FLAGS = (
    ["/O2"] if sys.platform == "win32" else ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"]
)


class BuildCore(build_ext):
    """build_ext that says in one sentence what to do where no C compiler works."""

    def build_extension(self, ext: Extension) -> None:
        """Build, or stop with that sentence."""
        try:
            super().build_extension(ext)
        except Exception as error:
            raise SystemExit(
                "sparsedevice needs a working C compiler to build its runtime (Debian and Ubuntu: "
                "apt install gcc python3-dev; macOS: xcode-select --install; Windows: the MSVC build "
                f"tools). The compiler said: {error}"
            ) from error


setup(
    ext_modules=[
        Extension(
            "sparsedevice.runtime._core",
            sources=sorted(path.as_posix() for path in Path(CSRC).glob("*.c")),
            depends=sorted(path.as_posix() for path in Path(CSRC).glob("*.[hi]*")),
            extra_compile_args=FLAGS,
        )
    ],
    cmdclass={"build_ext": BuildCore},
)
