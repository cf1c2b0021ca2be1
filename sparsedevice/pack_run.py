"""The packed file of a run: what goes into it, what it weighs, and whether it keeps to the run's budget."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import scipy.sparse as sp

from sparsedevice import __version__
from sparsedevice.data.splits import Split
from sparsedevice.errors import ConfigError
from sparsedevice.packing import PackedFile, pack
from sparsedevice.packing.compact import coded_bytes
from sparsedevice.packing.content import read_content
from sparsedevice.packing.format import Kind
from sparsedevice.run import Run
from sparsedevice.training.config import TrainConfig

#: Sections that hold ids and titles.
_TEXTS = ("ITEM_ID_", "USER_ID_", "TITLE_")


def pack_run(run: Run, path: Path, *, values: str, layout: str = "auto", users: bool = False) -> PackedFile:
    """Write a run's packed file.

    Args:
        run: the run.
        path: the file to write.
        values: coding of values: f32, f16, int8 or int4.
        layout: auto, csr or sliced.
        users: with the user rows and what each user has seen.

    Raises:
        ConfigError: if a value is outside the format.
        SparseDeviceError: if the file cannot be written.
    """
    train = run.split.train
    titles = train.titles if train.titles is not None and any(train.titles) else None
    pack(
        path,
        run.items,
        item_ids=train.item_ids.ids,
        titles=titles,
        users=run.users if users else None,
        user_ids=train.user_ids.ids if users else None,
        seen=known_before_test(run.split) if users else None,
        values=values,  # type: ignore[arg-type]
        layout=layout,
        similarity=run.similarity,  # type: ignore[arg-type]
        fold_in=run.fold_in,
        network=run.network,
        metadata={
            "sparsedevice": __version__,
            "model": run.config.model,
            "method": run.config.method,
            "seed": str(run.config.seed),
            "train": train.fingerprint(),
        },
    )
    return PackedFile.open(path)


def known_before_test(split: Split) -> sp.csr_array:
    """What each user is known to have used before the test: train and validation, csr [n_users, n_items]."""
    known = split.train.matrix()
    if split.validation is not None:
        known = sp.csr_array(known + split.validation.matrix())
    return known


def budgeted_bytes(config: TrainConfig, packed: PackedFile) -> int:
    """Bytes of a packed file as the budget counts them: packed or compact, with ids and titles or without."""
    if config.budget_for == "compact":
        content = read_content(packed)
        if config.budget_vocabulary:
            return min(coded_bytes(content), len(packed.data))
        return coded_bytes(replace(content, strings={}))
    size = len(packed.data)
    if not config.budget_vocabulary:
        size -= sum(section.length for kind, section in packed.sections.items() if _is_text(kind))
    return size


def check_budget(config: TrainConfig, packed: PackedFile) -> None:
    """Refuse a packed file that is over the budget that its run was trained for.

    Raises:
        ConfigError: if it is.
    """
    if config.budget_bytes is None:
        return
    size = budgeted_bytes(config, packed)
    if size > config.budget_bytes:
        raise ConfigError(
            f"this export takes {size:,} bytes, over the budget of {config.budget_bytes:,} that the run was "
            f"trained for; export with values {config.values}"
            + ("" if config.budget_users else " and without users")
            + ", or train without --budget"
        )


def weigh(run: Run) -> int:
    """Bytes that the run's budget counts, of a packed file written for the purpose."""
    with tempfile.TemporaryDirectory() as folder:
        packed = pack_run(
            run, Path(folder) / "model.sd", values=run.config.values or "int8", users=run.config.budget_users
        )
        return budgeted_bytes(run.config, packed)


def _is_text(kind: Kind) -> bool:
    return kind.name.startswith(_TEXTS)
