"""``profile``: where the bytes of a bundle go, and where the time of a query goes."""

from __future__ import annotations

import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.bench.native.build import find_compiler
from sparsedevice.errors import TargetError
from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import Kind

#: Sections by what they are for.
_GROUPS = {
    "items": ("ITEM_POINTERS", "ITEM_COLUMNS", "ITEM_VALUES", "ITEM_SCALES"),
    "users": ("USER_POINTERS", "USER_COLUMNS", "USER_VALUES", "USER_SCALES"),
    "seen lists": ("SEEN_",),
    "item ids": ("ITEM_ID_",),
    "user ids": ("USER_ID_",),
    "titles": ("TITLE_",),
    "fold-in": ("FOLD_",),
    "network": ("PAIR_",),
    "metadata": ("METADATA",),
}


def profile(path: str | Path, *, k: int = 20, seconds: float = 1.0) -> dict[str, Any]:
    """Bytes by section, the shape of the item table, and the parts of a query's time.

    Args:
        path: a bundle, or a packed file (bytes only).
        k: length of the rankings that are timed.
        seconds: least time that the timed queries take.

    Returns:
        JSON-ready: ``bytes`` (``total``, ``files``, ``groups`` of sections, ``framing``), ``table`` (entries
        by row and by column, bits an entry, entropies) and ``time`` (``parts`` in µs, and their
        ``harness``; None for a packed file, or a model with a network).

    Raises:
        BundleError: if the bundle is damaged.
        PackedFileError: if the packed file breaks a promise.
    """
    path = Path(path)
    if path.is_file():
        packed, files = PackedFile.open(path), {path.name: path.stat().st_size}
        return {"path": str(path), "bytes": _bytes(packed, files), "table": _table(packed), "time": None}
    from sparsedevice.exporters import Bundle
    from sparsedevice.exporters.targets import PACKED_NAME

    bundle = Bundle.load(path)
    bundle.check_ranks()
    packed = PackedFile.open(bundle.path / PACKED_NAME)
    return {
        "path": str(path),
        "bytes": _bytes(packed, bundle.file_bytes),
        "table": _table(packed),
        # The parts of a query are those of the core, which runs no network.
        "time": None if packed.network is not None else _time(bundle.path, k, seconds),
    }


def draw_profile(found: dict[str, Any], out: str | Path) -> Path:
    """Write a profile as one HTML page with pictures.

    Args:
        found: what :func:`profile` returned.
        out: the page.

    Raises:
        ConfigError: if ``out`` is a folder.
        MissingExtraError: if the extra ``report`` is not installed.
    """
    from sparsedevice.report import report

    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "profile.json"
        source.write_text(json.dumps(found), encoding="utf-8")
        return report([source], out, title=f"Profile of {Path(found['path']).name}")


def render_profile(found: dict[str, Any]) -> str:
    """A profile as text, with a bar for each share."""
    sizes = found["bytes"]
    lines = [f"{found['path']}: {sizes['total']:,} bytes in {len(sizes['files'])} files", ""]
    lines += [_bar(name, size, sizes["total"], f"{size:,} B") for name, size in _largest(sizes["files"])]
    packed = sum(sum(sections.values()) for sections in sizes["groups"].values()) + sizes["framing"]
    lines += ["", f"the packed file: {packed:,} bytes", ""]
    for group, sections in sorted(sizes["groups"].items(), key=lambda pair: -sum(pair[1].values())):
        lines.append(_bar(group, sum(sections.values()), packed, f"{sum(sections.values()):,} B"))
        if len(sections) > 1:
            lines += [_bar(f"  {name}", size, packed, f"{size:,} B") for name, size in _largest(sections)]
    lines.append(_bar("framing", sizes["framing"], packed, f"{sizes['framing']:,} B"))
    table = found["table"]
    entries = table["entries_per_row"]
    lines += [
        "",
        f"item table: {table['n_items']:,} rows of {table['dim']} columns, {table['nnz']:,} entries"
        f" ({entries['min']} to {entries['max']} a row, {entries['mean']:.2f} on average)",
        "  entries a column: {min} to {max}, median {p50:.0f}".format(
            **_spread(np.array(table["entries_by_column"]))
        ),
        f"  {table['bits_per_entry']:.2f} bits an entry, padding {table['padding_entries']:,} entries;"
        f" entropy: {table['column_entropy_bits']:.2f} bits a column id,"
        f" {table['value_entropy_bits']:.2f} bits a value",
    ]
    time = found["time"]
    if time is not None:
        lines += [
            "",
            f"a query: {time['end_to_end_us']:.1f} µs (median, {time['harness']}, k {time['k']})",
            "",
        ]
        total = max(time["end_to_end_us"], sum(time["parts"].values()))
        lines += [_bar(name, us, total, f"{us:.2f} µs") for name, us in time["parts"].items()]
    return "\n".join(lines) + "\n"


def _bytes(packed: PackedFile, files: dict[str, int]) -> dict[str, Any]:
    groups: dict[str, dict[str, int]] = {}
    for kind, section in packed.sections.items():
        group = next(
            name
            for name, starts in _GROUPS.items()
            if kind.name.startswith(starts) and _belongs(name, kind.name)
        )
        groups.setdefault(group, {})[kind.name.lower().replace("_", " ")] = section.length
    held = sum(sum(sections.values()) for sections in groups.values())
    return {
        "total": sum(files.values()),
        "files": files,
        "groups": groups,
        "framing": len(packed.data) - held,
    }


def _belongs(group: str, kind: str) -> bool:
    """Ids start with the same word as rows."""
    return ("_ID_" in kind) == group.endswith(" ids")


def _table(packed: PackedFile) -> dict[str, Any]:
    rows = packed.item_rows
    lengths = np.diff(rows.indptr)
    columns = np.bincount(rows.columns, minlength=packed.dim)
    width = 1 if packed.layout == "sliced" else packed.header.column_bytes
    stored = packed.section(Kind.ITEM_COLUMNS).size // width
    item_bytes = sum(
        packed.sections[kind].length for kind in packed.sections if kind.name in _GROUPS["items"]
    )
    nnz = max(packed.nnz, 1)
    quantised = packed.values in ("int8", "int4")
    values = np.unique(rows.values, return_counts=True)[1] if quantised else None
    return {
        "n_items": packed.n_items,
        "dim": packed.dim,
        "nnz": packed.nnz,
        "values": packed.values,
        "layout": packed.layout,
        "bits_per_entry": 8 * item_bytes / nnz,
        "padding_entries": int(stored) - packed.nnz,
        "entries_per_row": _spread(lengths),
        "rows_by_entries": np.bincount(lengths).tolist(),
        "entries_by_column": columns.tolist(),
        "column_entropy_bits": _entropy(columns),
        "value_entropy_bits": _entropy(values) if values is not None else 8.0 * rows.values.dtype.itemsize,
    }


def _time(bundle: Path, k: int, seconds: float) -> dict[str, Any]:
    """Parts of a query by the C tool, or by Python where no compiler is at hand."""
    from sparsedevice.bench import bench

    settings: dict[str, Any] = {"k": k, "backend": "core", "min_seconds": seconds, "repetitions": 100}
    if _has_compiler():
        result = bench(bundle, harness="native", **settings)
        phases = {name: summary["p50_us"] for name, summary in result["phases"].items()}
        used = phases["find"] + phases["recommend_rows"]
        parts = {
            "find the history's rows": phases["find"],
            "fold in": phases["fold_in"],
            "score all items": phases["scan"],
            "choose the best": phases["choose"],
            "ids of the answer": max(0.0, result["p50_us"] - used),
        }
    else:
        result = bench(bundle, **settings)
        best = result["phases"]["top_1"]["p50_us"]
        rest = max(0.0, result["p50_us"] - best)
        parts = {"query, scores, best one": best, f"{k} results instead of 1": rest}
    return {
        "harness": result["harness"],
        "kernel": result.get("kernel"),
        "k": k,
        "end_to_end_us": result["p50_us"],
        "load_ms": result["load_ms"],
        "verify_ms": result["verify_ms"],
        "parts": parts,
    }


def _has_compiler() -> bool:
    try:
        find_compiler(platform.machine())
    except TargetError:
        return False
    return True


def _spread(counts: NDArray[np.int64]) -> dict[str, float | int]:
    p50, p90 = np.percentile(counts, (50, 90))
    return {
        "min": int(counts.min()),
        "p50": float(p50),
        "p90": float(p90),
        "max": int(counts.max()),
        "mean": float(counts.mean()),
    }


def _entropy(counts: NDArray[np.int64]) -> float:
    """Bits of a symbol that is drawn with these frequencies (Shannon)."""
    positive = counts[counts > 0].astype(np.float64)
    shares = positive / positive.sum() if len(positive) else positive
    return float(-(shares * np.log2(shares)).sum())


def _largest(sizes: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(sizes.items(), key=lambda pair: -pair[1])


def _bar(name: str, value: float, total: float, text: str) -> str:
    share = value / total if total else 0.0
    return f"{name:28} {'█' * round(30 * share):30} {share:6.1%} {text:>16}"
