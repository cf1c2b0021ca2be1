"""The command ``train``; :mod:`sparsedevice.cli` puts it beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from sparsedevice.sparse.presets import METHODS

if TYPE_CHECKING:
    from sparsedevice.click_run import ClickRun
    from sparsedevice.data.click_options import ClickFormat, ClickSplitName
    from sparsedevice.data.options import Format, SplitName
    from sparsedevice.run import Run

METHOD = "Method and optimisation"
REFRESH = "Refresh (--from RUN)"
BUDGET = "A budget in bytes"
READING = "Reading and splitting DATA"
CLICKS = "Click logs (--model dlrm)"


def train(
    data: Annotated[
        str, typer.Argument(help="A log (csv, tsv, parquet, .inter), a data folder, or 'synthetic'.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("run"),
    model: Annotated[
        str,
        typer.Option(
            help="mf, lightgcn, neumf, pooled, elsa, multvae; dlrm for a click log (docs/models.md)."
        ),
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
        typer.Option(help="Loss of the model; chosen by the data where not given.", rich_help_panel=METHOD),
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
    hidden: Annotated[
        int | None,
        typer.Option(
            help="Of models multvae (0 for none) and neumf: units of a hidden layer, at most the width.",
            rich_help_panel=METHOD,
        ),
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
            categorical=tuple(split_ids(categorical or "")),
            numeric=tuple(split_ids(numeric or "")),
            lists=tuple(split_ids(lists or "")),
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
        "hidden": hidden,
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


def split_ids(text: str) -> list[str]:
    """The ids of a list that is separated by commas."""
    return [id_.strip() for id_ in text.split(",") if id_.strip()]
