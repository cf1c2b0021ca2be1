"""The command line: one thin command per function of the same name, with the same argument names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from sparsedevice import __version__
from sparsedevice.cli_measure import bench, profile, report, sweep
from sparsedevice.errors import SparseDeviceError
from sparsedevice.sparse.presets import METHODS

if TYPE_CHECKING:
    from sparsedevice.click_run import ClickRun
    from sparsedevice.data.click_options import ClickFormat, ClickSplitName
    from sparsedevice.data.options import Format, SplitName
    from sparsedevice.run import Run

app = typer.Typer(
    name="sparsedevice",
    help="Train a sparse recommender to a byte budget, export it, and run it on a device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

METHOD = "Method and optimisation"
REFRESH = "Refresh (--from RUN)"
BUDGET = "A budget in bytes"
READING = "Reading and splitting DATA"
CLICKS = "Click logs (--model dlrm)"
TextOrJson = Annotated[Literal["text", "json"], typer.Option(help="How to print the answer.")]


@app.command()
def train(
    data: Annotated[
        str, typer.Argument(help="A log (csv, tsv, parquet, .inter), a data folder, or 'synthetic'.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("run"),
    model: Annotated[
        str,
        typer.Option(help="mf, lightgcn, pooled, elsa, multvae, or dlrm for a click log (docs/models.md)."),
    ] = "mf",
    method: Annotated[
        str, typer.Option(help=f"How the shape is found and moved: {', '.join(METHODS)}.")
    ] = "sparserec",
    sparsity: Annotated[float, typer.Option(help="Share of entries that are zero, 0 to below 1.")] = 0.9,
    dim: Annotated[
        int | None, typer.Option(help="Width of the table; chosen by rule where not given.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training interactions.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed and threads, same files.")] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores where not given.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in the run folder.")
    ] = False,
    from_run: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from this run with new DATA.", rich_help_panel=REFRESH),
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(help="Weight of what the run learnt; 0 for none.", rich_help_panel=REFRESH),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Bytes that the packed file may have, as 500KB or 1MiB; sets width, fan-in and values.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    budget_for: Annotated[
        Literal["packed", "compact"],
        typer.Option(help="The file that the budget is for.", rich_help_panel=BUDGET),
    ] = "packed",
    budget_vocabulary: Annotated[
        bool, typer.Option(help="Count ids and titles.", rich_help_panel=BUDGET)
    ] = True,
    budget_users: Annotated[
        bool,
        typer.Option(
            "--budget-users", help="Count user rows too, for export --users.", rich_help_panel=BUDGET
        ),
    ] = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Train again on train and validation with what validation chose."),
    ] = False,
    fold_in: Annotated[
        Literal["auto", "sum", "matrix", "ridge", "steps"] | None,
        typer.Option(help="How a device turns a history into a user; auto chooses on validation."),
    ] = None,
    sparse: Annotated[
        Literal["both", "items"],
        typer.Option(help="Which tables are sparse in training.", rich_help_panel=METHOD),
    ] = "both",
    fan_in: Annotated[
        Literal["fixed", "global"],
        typer.Option(help="Same fan-in for each row, or one budget.", rich_help_panel=METHOD),
    ] = "fixed",
    loss: Annotated[
        Literal["softmax", "bsl", "bpr", "ccl"] | None,
        typer.Option(help="Loss of model mf; softmax where not given.", rich_help_panel=METHOD),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Divides the scores in the loss.", rich_help_panel=METHOD)
    ] = None,
    temperature2: Annotated[
        float | None, typer.Option(help="Ratio of the two of loss bsl.", rich_help_panel=METHOD)
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Of loss ccl.", rich_help_panel=METHOD)] = None,
    negative_weight: Annotated[
        float | None, typer.Option(help="Of loss ccl.", rich_help_panel=METHOD)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Length of the first steps.", rich_help_panel=METHOD)
    ] = None,
    history_power: Annotated[
        float | None,
        typer.Option(help="Of model pooled: items weigh count^-power.", rich_help_panel=METHOD),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Run folder to learn from as well.", rich_help_panel=METHOD)
    ] = None,
    teacher_weight: Annotated[
        float | None, typer.Option(help="Share of the teacher in the loss.", rich_help_panel=METHOD)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Of model lightgcn: propagation steps.", rich_help_panel=METHOD)
    ] = None,
    batch_users: Annotated[int | None, typer.Option(help="Users a step.", rich_help_panel=METHOD)] = None,
    negatives: Annotated[
        int | None, typer.Option(help="Sampled items a step.", rich_help_panel=METHOD)
    ] = None,
    initial: Annotated[str | None, typer.Option(help="Initial shape.", rich_help_panel=METHOD)] = None,
    grow: Annotated[
        str | None, typer.Option(help="What chooses entries to grow.", rich_help_panel=METHOD)
    ] = None,
    watched_share: Annotated[
        float | None,
        typer.Option(help="Share of rows whose inactive gradients are kept.", rich_help_panel=METHOD),
    ] = None,
    rho0: Annotated[
        float | None, typer.Option(help="First share dropped and grown.", rich_help_panel=METHOD)
    ] = None,
    power: Annotated[
        float | None,
        typer.Option(help="Powerpropagation's exponent; 1 is none.", rich_help_panel=METHOD),
    ] = None,
    thresholds: Annotated[
        Literal["row", "column", "global"] | None,
        typer.Option(help="What shares a threshold in method pep.", rich_help_panel=METHOD),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            help="Ranges of columns with equally many entries of a row each.", rich_help_panel=METHOD
        ),
    ] = None,
    backward_share: Annotated[
        float | None,
        typer.Option(help="Share of the gradients' terms that are computed.", rich_help_panel=METHOD),
    ] = None,
    delta_t: Annotated[
        float | None, typer.Option(help="Epochs between two moves.", rich_help_panel=METHOD)
    ] = None,
    validation_every: Annotated[
        int | None, typer.Option(help="Epochs between two looks at validation.", rich_help_panel=METHOD)
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device.", rich_help_panel=METHOD)] = None,
    format: Annotated[str, typer.Option(help="Format of DATA, or 'auto'.", rich_help_panel=READING)] = "auto",  # noqa: A002
    user_column: Annotated[
        str | None, typer.Option(help="Column of user ids.", rich_help_panel=READING)
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(help="Column of item ids.", rich_help_panel=READING)
    ] = None,
    rating_column: Annotated[
        str | None, typer.Option(help="Column of ratings.", rich_help_panel=READING)
    ] = None,
    timestamp_column: Annotated[
        str | None, typer.Option(help="Column of timestamps.", rich_help_panel=READING)
    ] = None,
    title_column: Annotated[
        str | None, typer.Option(help="Column of item titles.", rich_help_panel=READING)
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="Separator of a text table.", rich_help_panel=READING)
    ] = None,
    min_rating: Annotated[
        float | None, typer.Option(help="Drop interactions rated lower.", rich_help_panel=READING)
    ] = None,
    k_core: Annotated[
        int,
        typer.Option(
            help="Keep users and items with at least this many interactions.", rich_help_panel=READING
        ),
    ] = 1,
    split: Annotated[
        str, typer.Option(help="auto, given, random, leave-last or time.", rich_help_panel=READING)
    ] = "auto",
    test_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share held out: of each user's interactions, 0.2; of a click log's rows, 0.1.",
            rich_help_panel=READING,
        ),
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(help="Share of train held out to choose by.", rich_help_panel=READING)
    ] = 0.1,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label, 1 or 0.", rich_help_panel=CLICKS)
    ] = None,
    categorical: Annotated[
        str | None, typer.Option(help="Columns of categories, separated by commas.", rich_help_panel=CLICKS)
    ] = None,
    numeric: Annotated[
        str | None, typer.Option(help="Columns of numbers, separated by commas.", rich_help_panel=CLICKS)
    ] = None,
    lists: Annotated[
        str | None, typer.Option(help="Columns of categories joined by '|'.", rich_help_panel=CLICKS)
    ] = None,
    tower_sparsity: Annotated[
        float | None,
        typer.Option(help="Share of neurons that training prunes alternately.", rich_help_panel=CLICKS),
    ] = None,
    finish: Annotated[
        Literal["full", "pruned"] | None,
        typer.Option(help="How alternate pruning (amgp) ends.", rich_help_panel=METHOD),
    ] = None,
    cycles: Annotated[int | None, typer.Option(help="Pruned phases of amgp.", rich_help_panel=METHOD)] = None,
    batch_rows: Annotated[int | None, typer.Option(help="Rows a step.", rich_help_panel=CLICKS)] = None,
    l2: Annotated[
        float | None, typer.Option(help="Weight on the embeddings' squares.", rich_help_panel=CLICKS)
    ] = None,
) -> None:
    """Turn an interaction log into a run folder with a trained sparse model."""
    from sparsedevice import terminal
    from sparsedevice.data import DataOptions
    from sparsedevice.data.click_options import ClickOptions
    from sparsedevice.training import train as train_run
    from sparsedevice.training.click_config import CLICK_MODELS

    options: DataOptions | ClickOptions
    if model in CLICK_MODELS:
        options = ClickOptions(
            format=cast("ClickFormat", format),
            label_column=label_column,
            categorical=tuple(_ids(categorical or "")),
            numeric=tuple(_ids(numeric or "")),
            lists=tuple(_ids(lists or "")),
            separator=separator,
            positive_rating=4.0 if min_rating is None else min_rating,
            split=cast("ClickSplitName", split),
            test_fraction=0.1 if test_fraction is None else test_fraction,
            validation_fraction=validation_fraction,
            seed=seed,
        )
    else:
        options = DataOptions(
            format=cast("Format", format),
            user_column=user_column,
            item_column=item_column,
            rating_column=rating_column,
            timestamp_column=timestamp_column,
            title_column=title_column,
            separator=separator,
            min_rating=min_rating,
            k_core=k_core,
            split=cast("SplitName", split),
            test_fraction=0.2 if test_fraction is None else test_fraction,
            validation_fraction=validation_fraction,
            seed=seed,
        )
    budgeted: dict[str, Any] = {
        "budget_for": budget_for,
        "budget_vocabulary": budget_vocabulary,
        "budget_users": budget_users,
    }
    settings = {
        "sparse": None if model in CLICK_MODELS else sparse,
        "loss": loss,
        "temperature": temperature,
        "temperature2": temperature2,
        "margin": margin,
        "negative_weight": negative_weight,
        "history_power": history_power,
        "layers": layers,
        "teacher": teacher,
        "teacher_weight": teacher_weight,
        "batch_users": batch_users,
        "negatives": negatives,
        "tower_sparsity": tower_sparsity,
        "finish": finish,
        "cycles": cycles,
        "batch_rows": batch_rows,
        "l2": l2,
        "fan_in": fan_in,
        "lr": lr,
        "initial": initial,
        "grow": grow,
        "watched_share": watched_share,
        "rho0": rho0,
        "power": power,
        "thresholds": thresholds,
        "blocks": blocks,
        "backward_share": backward_share,
        "delta_t": delta_t,
        "validation_every": validation_every,
        "refit": refit or None,
        **({} if budget is None else budgeted),
        "fold_in": fold_in,
        "device": device,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    shared: dict[str, Any] = {"epochs": epochs, "seed": seed, "threads": threads, "resume": resume}
    run: Run | ClickRun
    if from_run is not None:
        from sparsedevice.training.refresh import kept_settings, refresh

        shape = {"model": model, "method": method, "sparsity": sparsity, "dim": dim, "budget": budget}
        given = kept_settings(shape, given)
        run = refresh(from_run, data, out, prior=prior, **shared, options=options, settings=given)
    else:
        shared |= {"model": model, "method": method, "sparsity": sparsity, "dim": dim, "budget": budget}
        run = train_run(data, out, **shared, options=options, settings=given)
    terminal.show_run(run, out)


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
    layout: Annotated[str, typer.Option(help="Layout of the table, or 'auto'.")] = "auto",
    users: Annotated[
        bool, typer.Option("--users", help="Ship the user rows and what each user has seen.")
    ] = False,
    output: TextOrJson = "text",
) -> None:
    """Pack a run and write a bundle for one target, with its accuracy measured from the artefact."""
    from sparsedevice import terminal
    from sparsedevice.exporters import export as export_run

    bundle = export_run(run, target, out, values=values, layout=layout, users=users)
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
        history=None if history is None else _ids(history),
        user=user,
        k=k,
        exclude=exclude if exclude in ("seen", "none") else _ids(exclude),
        candidates=None if candidates is None else _ids(candidates),
    )
    terminal.show_recommendations(result, [] if history is None else _titles(bundle, _ids(history)), output)


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


def _ids(text: str) -> list[str]:
    return [id_.strip() for id_ in text.split(",") if id_.strip()]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit codes: 0 done, 2 the user can mend it, 130 interrupted."""
    try:
        app(arguments)
    except SparseDeviceError as error:
        sys.stderr.write(f"sparsedevice: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
