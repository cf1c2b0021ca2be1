"""The commands that measure and draw; :mod:`sparsedevice.cli` puts them beside the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

WHERE = "Where to measure"
HOW = "How long and how often"


def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle.")],
    backend: Annotated[
        str | None, typer.Option(help="core, numpy, onnx …; else the target's own. Lists multiply.")
    ] = None,
    k: Annotated[str, typer.Option("-k", "--k", help="Length of the ranking; a list multiplies.")] = "20",
    batch: Annotated[str, typer.Option(help="Queries in a batch; a list multiplies.")] = "1",
    trace: Annotated[
        str, typer.Option(help="zipf, uniform, seen, or a file of JSON lists of ids; a list multiplies.")
    ] = "zipf",
    cache: Annotated[
        str, typer.Option(help="Page cache at loading: warm, dropped; a list multiplies.")
    ] = "warm",
    kernel: Annotated[str | None, typer.Option(help="Kernel of the core; a list multiplies.")] = None,
    threads: Annotated[str, typer.Option(help="Threads of the throughput phase; a list multiplies.")] = "1",
    target: Annotated[
        str,
        typer.Option(
            help="host, ssh://user@host:port, adb[:serial], qemu-arm64, browser, node.", rich_help_panel=WHERE
        ),
    ] = "host",
    harness: Annotated[
        str, typer.Option(help="auto, python, or native: the C tool.", rich_help_panel=WHERE)
    ] = "auto",
    cpus: Annotated[
        str | None, typer.Option(help="Pin to big, little or a list such as 0-3.", rich_help_panel=WHERE)
    ] = None,
    remote_python: Annotated[
        str, typer.Option(help="The Python there that has this package.", rich_help_panel=WHERE)
    ] = "python3",
    remote_folder: Annotated[
        str | None, typer.Option(help="An existing folder there to work below.", rich_help_panel=WHERE)
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(help="Configuration file for ssh.", rich_help_panel=WHERE)
    ] = None,
    repetitions: Annotated[
        int, typer.Option(help="At least this many timed queries.", rich_help_panel=HOW)
    ] = 200,
    min_seconds: Annotated[float, typer.Option(help="And at least this long.", rich_help_panel=HOW)] = 1.0,
    warmup: Annotated[int, typer.Option(help="Queries before the timed ones.", rich_help_panel=HOW)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the query trace.", rich_help_panel=HOW)] = 0,
    output: Annotated[str, typer.Option(help="md, json, jsonl or csv.")] = "md",
    samples: Annotated[bool, typer.Option("--samples", help="Keep every sample in the result.")] = False,
    raw: Annotated[Path | None, typer.Option(help="File for all raw samples, JSON lines.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Earlier result (json or jsonl) to stand beside.")
    ] = None,
    fail_if_slower: Annotated[
        str | None, typer.Option(help="Exit with 1 if a p50 (emulated: instructions) grew by more, e.g. 5%.")
    ] = None,
) -> None:
    """Measure load time, first query, latency percentiles, bytes and memory of a bundle."""
    from sparsedevice import terminal
    from sparsedevice.bench import bench_many, compare, parse_share, render, settings_product
    from sparsedevice.bench.render import check_output
    from sparsedevice.errors import ConfigError

    check_output(output)
    if fail_if_slower is not None and baseline is None:
        raise ConfigError("--fail-if-slower needs --baseline FILE to compare with")
    allowed = parse_share(fail_if_slower) if fail_if_slower is not None else 0.0
    single = {"harness": harness, "cpus": cpus, "repetitions": repetitions, "min_seconds": min_seconds}
    single |= {"warmup": warmup, "seed": seed, "samples": samples}
    lists: dict[str, list[Any]] = {
        "backend": _list("backend", backend, str),
        "k": _list("k", k, int),
        "batch": _list("batch", batch, int),
        "trace": _list("trace", trace, str),
        "cache": _list("cache", cache, str),
        "kernel": _list("kernel", kernel, str),
        "threads": _list("threads", threads, int),
        **{name: [value] for name, value in single.items()},
    }
    results = bench_many(
        bundle,
        settings_product(lists),
        target=target,
        python=remote_python,
        ssh_config=ssh_config,
        folder=remote_folder,
        raw=raw,
    )
    terminal.write(render(results, output))
    if baseline is None:
        return
    changes = compare(results, baseline, allowed)
    for change in changes:
        verdict = " SLOWER" if change.slower and fail_if_slower is not None else ""
        sys.stderr.write(
            f"{change.cell}: {change.before:,.1f} {change.unit} then, {change.now:,.1f} now"
            f" ({change.ratio - 1:+.1%}){verdict}\n"
        )
    if fail_if_slower is not None and any(change.slower for change in changes):
        raise typer.Exit(1)


def profile(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a packed file.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Length of the ranking that is timed.")] = 20,
    seconds: Annotated[float, typer.Option(help="Least time of the timed queries.")] = 1.0,
    output: Annotated[Literal["text", "json"], typer.Option(help="How to print the answer.")] = "text",
    out: Annotated[Path | None, typer.Option(help="Also draw it, as one HTML page.")] = None,
) -> None:
    """Show where the bytes of a bundle go, and where the time of a query goes."""
    from sparsedevice import terminal
    from sparsedevice.profile import draw_profile, render_profile
    from sparsedevice.profile import profile as profile_path

    found = profile_path(bundle, k=k, seconds=seconds)
    if out is not None:
        draw_profile(found, out)
    terminal.write(json.dumps(found, indent=2) if output == "json" else render_profile(found))


def report(
    sources: Annotated[
        list[Path], typer.Argument(help="Run folders, bundles, sweeps, files of bench or profile as JSON.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page to write; without it the report is printed.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "sparsedevice report",
) -> None:
    """Size and accuracy, latency, memory, bytes, training: printed, or as one self-contained HTML page."""
    from sparsedevice import terminal
    from sparsedevice.report import print_report
    from sparsedevice.report import report as write_report

    if out is None:
        print_report(sources)
    else:
        terminal.write(f"{write_report(sources, out, title=title)}")


def sweep(
    data: Annotated[str, typer.Argument(help="A log, a data folder, or 'synthetic'.")],
    out: Annotated[Path, typer.Option(help="Folder for the cells; what is done there is kept.")] = Path(
        "sweep"
    ),
    sparsity: Annotated[str, typer.Option(help="Shares of zero entries, a list.")] = "0.8,0.9,0.95",
    dim: Annotated[str | None, typer.Option(help="Widths, a list; by rule where not given.")] = None,
    method: Annotated[str | None, typer.Option(help="Methods, a list.")] = None,
    seed: Annotated[str, typer.Option(help="Seeds, a list.")] = "0",
    values: Annotated[str, typer.Option(help="Codings of values to measure in, a list.")] = "int8",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training interactions.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of the ranking.")] = 20,
    max_users: Annotated[int, typer.Option(help="Test users to measure on; 0 for all.")] = 5000,
    dense: Annotated[bool, typer.Option(help="Also train dense tables of the same bytes.")] = True,
    jobs: Annotated[int, typer.Option(help="Runs at once.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Page to write, with the frontier drawn; needs the extra 'report'.")
    ] = None,
    output: Annotated[Literal["md", "json"], typer.Option(help="How to print the answer.")] = "md",
) -> None:
    """Train and measure a grid, with dense tables of the same bytes beside it; resumable."""
    from sparsedevice import terminal
    from sparsedevice.sweep import SweepSettings, render_sweep
    from sparsedevice.sweep import sweep as run_sweep

    if report is not None:
        from sparsedevice.report import check_report

        check_report(report)  # before hours of training, not after them
    grid: dict[str, list[Any]] = {
        "sparsity": _list("sparsity", sparsity, float),
        "dim": _list("dim", dim, int),
        "method": _list("method", method, str),
        "seed": _list("seed", seed, int),
    }
    settings = SweepSettings(k=k, epochs=epochs, max_users=max_users or None, dense=dense, jobs=jobs)
    found = run_sweep(
        data,
        out,
        grid={name: choices for name, choices in grid.items() if choices != [None]},
        values=_list("values", values, str),
        settings=settings,
    )
    terminal.write(json.dumps(found, indent=2) if output == "json" else render_sweep(found))
    if report is None:
        sys.stderr.write(f"A page of it: sparsedevice report {out} --out report.html\n")
    else:
        from sparsedevice.report import report as write_report

        sys.stderr.write(f"{write_report([out], report, title='Sweep')}\n")


def _list(name: str, text: str | None, kind: Callable[[str], Any]) -> list[Any]:
    """``10,20`` as [10, 20]; None, which stands for a default, as [None]."""
    from sparsedevice.errors import ConfigError

    if text is None:
        return [None]
    try:
        return [kind(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"--{name} {text!r} is not a list of numbers such as 10,20") from error
