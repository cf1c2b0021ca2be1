"""The table of targets. Command-line help, validation, documentation and tests read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsedevice.errors import ConfigError
from sparsedevice.extras import require
from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import LAYOUTS, MAX_DIM, VALUES, Values
from sparsedevice.runtime import Recommender, load

if TYPE_CHECKING:
    from sparsedevice.click_run import ClickRun
    from sparsedevice.data.clicks import ClickSchema

    from .clicks import ClickScorer, ClickTables

PACKED_NAME = "model.sd"
#: A layout of artefacts, not of packed files: smaller where rows are long, slower.
BITMAP = "bitmap"
#: What the packed file in every bundle can be opened with, and the module that does it.
FILE_BACKENDS = {"core": "sparsedevice.runtime.core", "numpy": "sparsedevice.runtime.reference"}


@dataclass(frozen=True)
class ClickTarget:
    """How a target carries models of clicks.

    Attributes:
        artefacts: files that an app runs; those that a model does not need are absent.
        writer: ``module:function(tables, folder) -> names of the files written``.
        opener: ``module:function(schema, folder) -> ClickScorer``.
        readme: ``module:function(run, names) -> text`` of the target's own section; "" for none.
    """

    artefacts: tuple[str, ...]
    writer: str
    opener: str
    readme: str = ""

    def write(self, tables: ClickTables, folder: Path) -> list[str]:
        """Write the artefact into ``folder`` and return the names of its files."""
        names: list[str] = _function(self.writer)(tables, folder)
        return names

    def open(self, schema: ClickSchema, folder: Path) -> ClickScorer:
        """Open the artefact in ``folder`` with its own runtime."""
        scorer: ClickScorer = _function(self.opener)(schema, folder)
        return scorer

    def render_readme(self, run: ClickRun, names: Sequence[str]) -> str:
        """The target's own section of a bundle's README."""
        if not self.readme:
            return ""
        text: str = _function(self.readme)(run, names)
        return text


@dataclass(frozen=True)
class Target:
    """What one kind of bundle can carry, and who writes and opens it.

    Attributes:
        name: as given to ``--target``.
        summary: one sentence for people.
        artefacts: files that an app runs; those that a table does not need are absent.
        companions: further files that help an app which has no reader of packed files.
        modules: packages that exporting and running need.
        extra: the extra of this project that brings them; "" where none is needed.
        values: codings of values that it can carry.
        layouts: layouts that it can carry: of the packed file, or ``BITMAP``.
        max_dim: widest table that it can carry.
        users: whether user rows can be shipped.
        networks: whether scores can be a network's output for each pair (model "neumf").
        backend: the backend that runs the artefact.
        writer: ``module:function(packed, folder) -> names of the files written``; "" where there is none.
        bitmap_writer: the same for layout "bitmap", which only artefacts have; "" where this one has not.
        compact_writer: the same with the model in the compact coding; "" where an app takes it as it is.
        readme: ``module:function(packed, names, history) -> text`` of the target's own section; "" for none.
        builder: ``module:function(folder)``: compiles what the opener loads, once in a process; "" for none.
        opener: ``module:function(packed, folder) -> Recommender``; "" where the packed file is the artefact.
        native_backend: a further backend that runs the same artefact with the C core as an operator, with a
            builder and an opener of its own; "" for none.
        clicks: how it carries models of clicks; None where it does not.
    """

    name: str
    summary: str
    artefacts: tuple[str, ...] = ("model.sd",)
    companions: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    extra: str = ""
    values: tuple[Values, ...] = VALUES
    layouts: tuple[str, ...] = ("auto", *LAYOUTS)
    max_dim: int = MAX_DIM
    users: bool = True
    networks: bool = False
    backend: str = "core"
    writer: str = ""
    bitmap_writer: str = ""
    compact_writer: str = ""
    builder: str = ""
    opener: str = ""
    readme: str = ""
    native_backend: str = ""
    native_builder: str = ""
    native_opener: str = ""
    clicks: ClickTarget | None = None

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that run the artefact, the target's own first."""
        return (self.backend, self.native_backend) if self.native_backend else (self.backend,)

    def check(
        self,
        *,
        values: str,
        layout: str,
        users: bool,
        dim: int,
        network: bool = False,
        compact: bool = False,
    ) -> None:
        """Refuse what this target cannot carry.

        Raises:
            ConfigError: saying what to use instead.
        """
        if network and not self.networks:
            able = " or ".join(f"'{target.name}'" for target in TARGETS if target.networks)
            raise ConfigError(
                f"target {self.name!r} does not carry model 'neumf', whose scores are a network's; export to"
                f" {able}, or train --model mf"
            )
        if values not in self.values:
            raise ConfigError(
                f"target {self.name!r} does not carry {values!r} values; use one of {', '.join(self.values)}"
            )
        if layout not in self.layouts:
            raise ConfigError(
                f"target {self.name!r} does not carry layout {layout!r}; use one of {', '.join(self.layouts)}"
            )
        if dim > self.max_dim:
            raise ConfigError(
                f"target {self.name!r} carries tables of at most {self.max_dim} columns, not {dim};"
                " train with a smaller --dim, or use --target packed"
            )
        if users and not self.users:
            raise ConfigError(
                f"target {self.name!r} ships no user rows; leave out --users (histories are folded in on the"
                " device), or use --target packed"
            )
        if compact and not self.compact_writer:
            able = " or ".join(f"'{target.name}'" for target in TARGETS if target.compact_writer)
            raise ConfigError(
                f"target {self.name!r} does not take --compact; leave it out, use --target {able}, or make a"
                " compact file of the bundle's: sparsedevice compact model.sd --out model.sdz"
            )

    def check_extra(self) -> None:
        """Import what the target needs.

        Raises:
            MissingExtraError: naming the extra to install.
        """
        for module in self.modules:
            require(module, extra=self.extra)

    def write(
        self, packed: PackedFile, folder: Path, *, layout: str = "auto", compact: bool = False
    ) -> list[str]:
        """Write the artefact into ``folder`` and return the names of its files."""
        writer = self.compact_writer if compact else self.bitmap_writer if layout == BITMAP else self.writer
        if not writer:
            return []
        names: list[str] = _function(writer)(packed, folder)
        return names

    def render_readme(self, packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
        """The target's own section of a bundle's README."""
        if not self.readme:
            return ""
        text: str = _function(self.readme)(packed, names, history)
        return text

    def build(self, folder: Path, backend: str) -> None:
        """Import a backend's runtime, and compile what the artefact in ``folder`` needs of it."""
        native = backend == self.native_backend
        opener = self.native_opener if native else self.opener
        builder = self.native_builder if native else self.builder
        if opener:
            import_module(opener.split(":")[0])
        if builder:
            _function(builder)(folder)

    def open(self, packed: PackedFile, folder: Path, backend: str = "") -> Recommender:
        """Open the artefact in ``folder`` with one of the target's backends; "" for its own."""
        opener = self.native_opener if backend and backend == self.native_backend else self.opener
        if not opener:
            return load(folder / PACKED_NAME, self.backend)  # type: ignore[arg-type]
        recommender: Recommender = _function(opener)(packed, folder)
        return recommender


_EXECUTORCH = Target(
    name="executorch",
    summary="One ExecuTorch program of portable operators, for the stock runtime.",
    artefacts=("model.pte",),
    companions=("vocabulary.json",),
    modules=("torch", "executorch"),
    extra="executorch",
    max_dim=1024,
    networks=True,
    backend="executorch",
    writer="sparsedevice.exporters.executorch:write",
    opener="sparsedevice.exporters.executorch:open_artefact",
    readme="sparsedevice.exporters.executorch:render",
    clicks=ClickTarget(
        artefacts=("model.pte",),
        writer="sparsedevice.exporters.executorch.clicks:write_clicks",
        opener="sparsedevice.exporters.executorch.clicks:ExecutorchClicks",
        readme="sparsedevice.exporters.executorch.clicks:render",
    ),
)

TARGETS: tuple[Target, ...] = (
    Target(
        name="packed",
        summary="The packed file alone, for the C core and the Python runtime of this project.",
    ),
    Target(
        name="onnx",
        summary="One ONNX graph: standard operators (opset 18), or the C core where that is registered.",
        artefacts=("model.onnx", "model.onnx.data", "model.sd"),
        companions=(
            "sparsedevice.h",
            "sparsedevice.c",
            "sd_rows.h",
            "sd_ort.h",
            "sd_onnx.c",
            "vocabulary.json",
        ),
        modules=("onnx", "onnxruntime"),
        extra="onnx",
        networks=True,
        backend="onnx",
        layouts=("auto", *LAYOUTS, BITMAP),
        writer="sparsedevice.exporters.onnx:write",
        bitmap_writer="sparsedevice.exporters.onnx:write_bitmap",
        opener="sparsedevice.exporters.onnx:open_artefact",
        readme="sparsedevice.exporters.onnx:render",
        native_backend="onnx-native",
        native_builder="sparsedevice.exporters.onnx.native:operator_library",
        native_opener="sparsedevice.exporters.onnx.native:open_native",
        clicks=ClickTarget(
            artefacts=("model.onnx", "model.onnx.data"),
            writer="sparsedevice.exporters.onnx.clicks:write_clicks",
            opener="sparsedevice.exporters.onnx.clicks:OnnxClicks",
            readme="sparsedevice.exporters.onnx.clicks:render",
        ),
    ),
    Target(
        name="c",
        summary="The C core as one header and one source, with CMake, make and two command-line tools.",
        artefacts=("model.sd", "sparsedevice.c", "sparsedevice.h"),
        companions=(
            "CMakeLists.txt",
            "Makefile",
            "sd_bench.c",
            "sd_bench.h",
            "sd_bench_calls.h",
            "sd_bench_samples.h",
            "sd_bench_system.h",
            "sd_bench_trace.h",
            "sd_file.h",
            "sd_internal.h",
            "sd_recommend.c",
        ),
        backend="c",
        writer="sparsedevice.exporters.c:write",
        builder="sparsedevice.exporters.c:build",
        opener="sparsedevice.exporters.c:open_artefact",
        readme="sparsedevice.exporters.c:render",
    ),
    _EXECUTORCH,
    replace(
        _EXECUTORCH,
        name="executorch-ptd",
        summary="The same program with its tables in a data file of their own, which the runtime maps.",
        artefacts=("model.pte", "model.ptd"),
        writer="sparsedevice.exporters.executorch:write_external",
        opener="sparsedevice.exporters.executorch:open_external",
        clicks=None,
    ),
    Target(
        name="executorch-native",
        summary="An ExecuTorch program around one operator, the C core, with the operator's sources.",
        artefacts=("model.pte",),
        companions=(
            "sparsedevice.h",
            "sparsedevice.c",
            "sd_rows.h",
            "sd_executorch.cpp",
            "sd_executorch_run.cpp",
            "vocabulary.json",
        ),
        modules=("torch", "executorch"),
        extra="executorch",
        backend="executorch-native",
        writer="sparsedevice.exporters.executorch.native:write_native",
        builder="sparsedevice.exporters.executorch.native:load_operator",
        opener="sparsedevice.exporters.executorch.native:open_native",
        readme="sparsedevice.exporters.executorch.native_readme:render",
    ),
    Target(
        name="web",
        summary="A WebAssembly build of the C core with an ES module and a page that works offline.",
        artefacts=(
            "model.sd",
            "sparsedevice.js",
            "sparsedevice-errors.js",
            "sparsedevice-loading.js",
            "sparsedevice-search.js",
            "sparsedevice.wasm",
            "sparsedevice-simd.wasm",
        ),
        companions=(
            "sparsedevice.d.ts",
            "sparsedevice-delta.js",
            "sparsedevice-delta-body.js",
            "sparsedevice-packed.js",
            "sparsedevice-strings.js",
            "sparsedevice-sealed.js",
            "sparsedevice-content.js",
            "sparsedevice-compact.js",
            "sparsedevice-compact-body.js",
            "sparsedevice-prefix-codes.js",
            "sparsedevice-blocks.js",
            "sparsedevice-columns.js",
            "sparsedevice-delta.d.ts",
            "sparsedevice-compact.d.ts",
            "model.sdz",
            "model.json",
            "package.json",
            "index.html",
            "app.js",
            "keep.js",
            "style.css",
            "icon.svg",
            "app.webmanifest",
            "service-worker.js",
        ),
        extra="web",
        writer="sparsedevice.exporters.web:write",
        readme="sparsedevice.exporters.web:render",
    ),
    Target(
        name="android",
        summary="A Gradle project: a Java library over the C core, with a demo app that has the model in it.",
        writer="sparsedevice.exporters.android:write",
        compact_writer="sparsedevice.exporters.android:write_compact",
        readme="sparsedevice.exporters.android:render",
    ),
)


def find_target(name: str) -> Target:
    """The row of the table with this name.

    Raises:
        ConfigError: listing the names that there are.
    """
    for target in TARGETS:
        if target.name == name:
            return target
    raise ConfigError(f"target {name!r} is unknown; use one of {', '.join(t.name for t in TARGETS)}")


def backends() -> tuple[str, ...]:
    """All backends, each once: those of the packed file, then the targets' own."""
    own = (backend for target in TARGETS for backend in target.backends)
    return tuple(dict.fromkeys((*FILE_BACKENDS, *own)))


def _function(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
