"""The command line: one thin command per function of the same name, with the same argument names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sparsedevice import __version__
from sparsedevice.cli_measure import bench, profile, report, sweep
from sparsedevice.cli_train import split_ids, train
from sparsedevice.errors import SparseDeviceError

app = typer.Typer(
    name="sparsedevice",
    help="Train a sparse recommender to a byte budget, export it, and run it on a device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

TextOrJson = Annotated[Literal["text", "json"], typer.Option(help="How to print the answer.")]

app.command()(train)


@app.command()
def evaluate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or a bundle.")],
    data: Annotated[str | None, typer.Option(help="Data to evaluate on, where not the run's own.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of the ranking.")] = 20,
    output: TextOrJson = "text",
) -> None:
    """Rank all items for every test user and print Recall@k, NDCG@k, hit rate and coverage.

    Of a run on a click log: print the AUC and log loss of its test rows.
    """
    from sparsedevice import terminal
    from sparsedevice.evaluation import evaluate as evaluate_path

    result = evaluate_path(run_or_bundle, data=data, k=k)
    terminal.show(result, f"{run_or_bundle}", output)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    target: Annotated[
        str, typer.Option(help="What the bundle is for; 'sparsedevice export --targets' lists them.")
    ],
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")] = Path("bundle"),
    values: Annotated[
        str | None,
        typer.Option(help="Coding of values: f32, f16, int8 or int4; the run's budget's, else int8."),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="Layout of the table: auto, csr or sliced; bitmap for onnx.")
    ] = "auto",
    users: Annotated[
        bool, typer.Option("--users", help="Ship the user rows and what each user has seen.")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Put the model into the Android app in the compact coding.")
    ] = False,
    output: TextOrJson = "text",
) -> None:
    """Pack a run and write a bundle for one target, with its accuracy measured from the artefact."""
    from sparsedevice import terminal
    from sparsedevice.exporters import export as export_run

    bundle = export_run(run, target, out, values=values, layout=layout, users=users, compact=compact)
    terminal.show_bundle(bundle, output)


@app.command()
def recommend(
    bundle: Annotated[Path, typer.Argument(help="A bundle or a packed file.")],
    user: Annotated[str | None, typer.Option(help="A user id that the bundle ships.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids, separated by commas.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many items.")] = 10,
    exclude: Annotated[
        str, typer.Option(help="'seen', 'none', or ids to leave out besides the seen ones.")
    ] = "seen",
    candidates: Annotated[str | None, typer.Option(help="Choose among these item ids only.")] = None,
    backend: Annotated[str | None, typer.Option(help="Backend, where not the target's own.")] = None,
    output: TextOrJson = "text",
) -> None:
    """Answer with the k best items for a user, or for a history of item ids."""
    from sparsedevice import terminal
    from sparsedevice.exporters import open_bundle

    recommender = open_bundle(bundle, backend=backend)
    result = recommender.recommend(
        history=None if history is None else split_ids(history),
        user=user,
        k=k,
        exclude=exclude if exclude in ("seen", "none") else split_ids(exclude),
        candidates=None if candidates is None else split_ids(candidates),
    )
    terminal.show_recommendations(
        result, [] if history is None else _titles(bundle, split_ids(history)), output
    )


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A packed file or a bundle.")],
    output: TextOrJson = "text",
) -> None:
    """Say what a packed file holds and what each part weighs."""
    from sparsedevice import terminal
    from sparsedevice.packing import inspect as inspect_file

    terminal.show(inspect_file(file), f"{file}", output)


@app.command()
def compact(
    file: Annotated[Path, typer.Argument(help="A packed file.")],
    out: Annotated[Path, typer.Option(help="Compact file to write.")] = Path("model.sdz"),
    output: TextOrJson = "text",
) -> None:
    """Write a packed file small, for download; 'expand' gives it back byte for byte."""
    from sparsedevice import terminal
    from sparsedevice.packing import compact as compact_file

    terminal.show(compact_file(file, out), f"{out}", output)


@app.command()
def expand(
    file: Annotated[Path, typer.Argument(help="A compact file written by 'compact'.")],
    out: Annotated[Path, typer.Option(help="Packed file to write.")] = Path("model.sd"),
    output: TextOrJson = "text",
) -> None:
    """Write the packed file that a compact file stands for, once it is checked."""
    from sparsedevice import terminal
    from sparsedevice.packing import expand as expand_file

    terminal.show(expand_file(file, out), f"{out}", output)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The packed file that devices have.")],
    new: Annotated[Path, typer.Argument(help="The packed file that they shall have.")],
    out: Annotated[Path, typer.Option(help="Delta to write.")] = Path("model.sdd"),
    output: TextOrJson = "text",
) -> None:
    """Write what changed between two packed files, never more bytes than the new one has."""
    from sparsedevice import terminal
    from sparsedevice.packing import diff as diff_files

    terminal.show(diff_files(old, new, out), f"{out}", output)


@app.command()
def patch(
    old: Annotated[Path, typer.Argument(help="The packed file that the delta was made from.")],
    delta: Annotated[Path, typer.Argument(help="A delta written by 'diff'.")],
    out: Annotated[Path, typer.Option(help="Packed file to write; may be OLD itself.")] = Path("model.sd"),
    output: TextOrJson = "text",
) -> None:
    """Make the new packed file from the old one and a delta, and check it before it takes its place."""
    from sparsedevice import terminal
    from sparsedevice.packing import patch as patch_file

    terminal.show(patch_file(old, delta, out), f"{out}", output)


@app.command()
def demo(
    bundle: Annotated[Path, typer.Argument(help="A bundle of target web.")],
    port: Annotated[int, typer.Option(help="Port on this computer; 0 for any that is free.")] = 8765,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Serve the page of a web bundle on this computer, until Ctrl-C, and open it in the browser."""
    from sparsedevice import terminal
    from sparsedevice.demo import demo as serve

    serve(
        bundle,
        port=port,
        open_browser=open_browser,
        on_ready=lambda url: terminal.write(f"{bundle} is served at {url} (Ctrl-C ends it)"),
    )


for _command in (bench, profile, report, sweep):
    app.command()(_command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _titles(bundle: Path, ids: list[str]) -> list[str]:
    from sparsedevice.exporters.targets import PACKED_NAME
    from sparsedevice.packing import PackedFile

    packed = PackedFile.open(bundle / PACKED_NAME if bundle.is_dir() else bundle, verify=False)
    if packed.titles is None:
        return []
    return [packed.titles[int(row)] for row in packed.vocabulary.rows(ids) if row >= 0]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit codes: 0 done, 2 the user can mend it, 130 interrupted."""
    try:
        app(arguments)
    except SparseDeviceError as error:
        sys.stderr.write(f"sparsedevice: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
