"""Builds the core and the kernels of training, and adds the Android project; see pyproject.toml too."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

EXTENSIONS = {
    "sparsedevice.runtime._core": "sparsedevice/runtime/csrc",
    "sparsedevice.sparse._kernels": "sparsedevice/sparse/csrc",
}
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


ANDROID = Path("android_demo")
# What building an app leaves behind.
LEFTOVERS = {"build", ".gradle", ".cxx", ".idea", "assets", "__pycache__", "local.properties"}


class BuildPython(build_py):
    """build_py that takes along the Android project, which bundles are copies of."""

    def project(self) -> dict[str, str]:
        """Where each of its files goes, by where it is."""
        files = (path for path in sorted(ANDROID.rglob("*")) if path.is_file())
        target = Path(self.build_lib, "sparsedevice", "exporters", "android", "project")
        return {
            path.as_posix(): (target / path.relative_to(ANDROID)).as_posix()
            for path in files
            if not LEFTOVERS & set(path.parts)
        }

    def run(self) -> None:
        """Copy it into a wheel; an editable installation finds it in the repository."""
        super().run()
        for source, target in {} if self.editable_mode else self.project().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """What a source distribution holds."""
        return [*super().get_source_files(), *self.project()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What is installed."""
        return [*super().get_outputs(include_bytecode), *self.project().values()]


setup(
    ext_modules=[
        Extension(
            name,
            sources=sorted(path.as_posix() for path in Path(folder).glob("*.c")),
            depends=sorted(path.as_posix() for path in Path(folder).glob("*.[hi]*")),
            extra_compile_args=FLAGS,
        )
        for name, folder in EXTENSIONS.items()
    ],
    cmdclass={"build_ext": BuildCore, "build_py": BuildPython},
)
