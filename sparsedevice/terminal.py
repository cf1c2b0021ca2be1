"""What the command line prints: rich tables for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from sparsedevice.click_run import ClickRun
    from sparsedevice.exporters.bundle import Bundle
    from sparsedevice.run import Run
    from sparsedevice.runtime import Recommendations

Output = Literal["text", "json"]


def write(text: str) -> None:
    """Print text as it is."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def show(result: Mapping[str, Any], title: str, output: Output) -> None:
    """Print a result as JSON, or as a table of names and values that leaves out curves and deeper nesting."""
    if output == "json":
        write(json.dumps(result, indent=2, ensure_ascii=False))
        return
    table = _table(title)
    table.add_column(style="bold")
    table.add_column()
    for name, value in result.items():
        rows = value.items() if isinstance(value, Mapping) else [("", value)]
        for inner, inner_value in rows:
            if not _is_nested(inner_value):
                table.add_row(f"{name} · {inner}" if inner else name, _text(name, inner_value))
    _console().print(table)


def show_run(run: Run | ClickRun, out: Path) -> None:
    """Print what a finished training reached and what to do next."""
    show(run.summary(), f"{out}", "text")
    from sparsedevice.training.click_config import CLICK_MODELS

    after = f"evaluate {out}" if run.config.model in CLICK_MODELS else f"export {out} --target onnx"
    _console().print(f"Next: [bold]sparsedevice {after}[/bold]")


def show_bundle(bundle: Bundle, output: Output) -> None:
    """Print a new bundle's files and accuracy."""
    if output == "json":
        write(json.dumps(bundle.manifest, indent=2, ensure_ascii=False))
        return
    show(bundle.summary(), f"{bundle.path}", "text")
    _console().print(f"Next: [bold]sparsedevice bench {bundle.path}[/bold]")


def show_recommendations(result: Recommendations, history_titles: list[str], output: Output) -> None:
    """Print ranked items with their titles."""
    titles = result.titles or [""] * len(result.items)
    if output == "json":
        items = [
            {"id": id_, "score": float(score), "title": title}
            for id_, score, title in zip(result.items, result.scores, titles, strict=True)
        ]
        write(json.dumps({"items": items, "unknown": list(result.unknown)}, indent=2, ensure_ascii=False))
        return
    console = _console()
    if history_titles:
        console.print("Because of: " + "; ".join(history_titles), highlight=False)
    table = _table("")
    table.add_column("", justify="right", style="dim")
    table.add_column("item")
    table.add_column("title", style="bold")
    table.add_column("score", justify="right")
    for place, (id_, score, title) in enumerate(
        zip(result.items, result.scores, titles, strict=True), start=1
    ):
        table.add_row(str(place), id_, title, f"{score:.3f}")
    console.print(table)
    if result.unknown:
        sys.stderr.write(
            f"sparsedevice: not in the catalogue, ignored: {', '.join(map(str, result.unknown))}\n"
        )


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(one, Mapping) for one in value)
    )


def _console() -> Console:
    # A pipe gets every column; rich would cut at 80 there.
    return Console() if sys.stdout.isatty() else Console(width=160)


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=not title)


def _text(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}" if name != "seed" else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
