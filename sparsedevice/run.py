"""The run folder: what training leaves behind, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from sparsedevice.data import Interactions, Split
from sparsedevice.errors import RunError
from sparsedevice.files import atomic_folder, read_json, write_json
from sparsedevice.packing.fold_in import FoldIn, decode_rule, encode_rule
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.packing.tower import Tower
from sparsedevice.run_folder import VERSION, check_folder, opened_run, pack_table, unpack_table
from sparsedevice.training.config import TrainConfig
from sparsedevice.vocabulary import Vocabulary

FILES = ("config.json", "metrics.json", "tables.safetensors", "interactions.safetensors", "vocabulary.json")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model with the data it was trained on.

    Attributes:
        config: resolved settings.
        items: item table, csr_array float32 (n_items x dim), indices sorted in each row.
        users: user table, csr_array float32 (n_users x dim), or None where the model has none.
        split: train, validation and test interactions.
        similarity: "cosine" or "dot".
        fold_in: how a history becomes a query.
        metrics: what was measured: validation and test metrics, memory, seconds.
        source: the data's name and options as they were given.
        network: makes scores of pairs of rows; None: scores are their products, by ``similarity``.
        curvature: of a refreshed run, H of each entry of its tables (``training.prior``), float32[nnz].
    """

    config: TrainConfig
    items: scipy.sparse.csr_array
    users: scipy.sparse.csr_array | None
    split: Split
    similarity: str
    fold_in: FoldIn
    metrics: dict[str, Any]
    source: dict[str, Any] = field(default_factory=dict)
    curvature: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    network: PairNetwork | None = None

    def summary(self) -> dict[str, Any]:
        """What a person wants to know first, flat."""
        config = self.config
        out: dict[str, Any] = {
            "model": config.model,
            "method": config.method,
            "users": self.split.train.n_users,
            "items": self.split.train.n_items,
            "interactions": len(self.split.train),
            "dim": config.dim,
            "active entries per item": self.items.nnz / max(1, self.items.shape[0]),
        }
        if self.users is not None:
            out["active entries per user"] = self.users.nnz / max(1, self.users.shape[0])
        out.update(self.metrics)
        out["split"] = self.split.rule
        out["seed"] = config.seed
        return out

    def save(self, path: str | Path) -> None:
        """Write the run folder; an existing one is replaced as a whole.

        Raises:
            SparseDeviceError: if the folder cannot be written.
        """
        tables = pack_table("items", self.items)
        if self.users is not None:
            tables |= pack_table("users", self.users)
        if self.fold_in.weights is not None:
            tables["fold_in.weights"] = self.fold_in.weights.astype(np.float32)
        if self.fold_in.matrix is not None:
            tables["fold_in.matrix"] = np.ascontiguousarray(self.fold_in.matrix, dtype=np.float32)
        if self.network is not None:
            tables |= {f"network.{name}": array for name, array in self.network.arrays().items()}
        tables |= {f"curvature.{name}": values for name, values in self.curvature.items()}
        if self.fold_in.rule is not None:
            tables["fold_in.rule"] = np.frombuffer(encode_rule(self.fold_in.rule), np.uint8)
        if isinstance(self.fold_in.rule, Tower):
            tables["fold_in.tower"] = self.fold_in.rule.to_array()
        with atomic_folder(path) as folder:
            write_json(
                folder / "config.json",
                {
                    "version": VERSION,
                    "train": self.config.to_json(),
                    "similarity": self.similarity,
                    "split": self.split.rule,
                    "source": self.source,
                },
            )
            write_json(folder / "metrics.json", self.metrics)
            # Not safetensors' own save_file, which makes files that only their owner can read.
            (folder / "tables.safetensors").write_bytes(save(tables))
            (folder / "interactions.safetensors").write_bytes(save(_interactions(self.split)))
            train = self.split.train
            write_json(
                folder / "vocabulary.json",
                {
                    "users": list(train.user_ids.ids),
                    "items": list(train.item_ids.ids),
                    "titles": train.titles,
                },
            )

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read a run folder.

        Raises:
            RunError: if the folder is missing, incomplete, damaged, or of another version.
        """
        path = Path(path)
        check_folder(path)
        if (path / "clicks.safetensors").exists():
            raise RunError(f"{path} is a run on a click log, which has no item table to rank or export")
        with opened_run(path, FILES, "a finished run") as config:
            tables = load_file(path / "tables.safetensors")
            vocabulary = read_json(path / "vocabulary.json")
            split = _split(load_file(path / "interactions.safetensors"), vocabulary, str(config["split"]))
            items = unpack_table("items", tables)
            run = cls(
                TrainConfig.from_json(config["train"]),
                items,
                unpack_table("users", tables) if "users.values" in tables else None,
                split,
                str(config["similarity"]),
                _fold_in(tables, str(config["similarity"]), items.shape[1]),
                read_json(path / "metrics.json"),
                dict(config.get("source", {})),
                {name: tables[key] for name in ("users", "items") if (key := f"curvature.{name}") in tables},
                _network(tables, items.shape[1]),
            )
        if items.shape[0] != split.train.n_items or (
            run.users is not None and run.users.shape != (split.train.n_users, items.shape[1])
        ):
            raise RunError(
                f"the run folder {path} is damaged (tables and vocabulary differ in size); train again"
            )
        return run


def _fold_in(tables: dict[str, NDArray[Any]], similarity: str, dim: int) -> FoldIn:
    rule = tables.get("fold_in.rule")
    return FoldIn(
        tables.get("fold_in.weights"),
        tables.get("fold_in.matrix"),
        None if rule is None else decode_rule(rule.tobytes(), similarity, dim, tables.get("fold_in.tower")),
    )


def _network(tables: dict[str, NDArray[Any]], dim: int) -> PairNetwork | None:
    parts = {n.removeprefix("network."): array for n, array in tables.items() if n.startswith("network.")}
    if not parts:
        return None
    network = PairNetwork(**parts)
    network.check(dim)
    return network


def _interactions(split: Split) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name in PARTS:
        part: Interactions | None = getattr(split, name)
        if part is None:
            continue
        for column in ("user_index", "item_index", "rating", "timestamp"):
            array = getattr(part, column)
            if array is not None:
                out[f"{name}.{column}"] = array
    return out


def _split(arrays: dict[str, NDArray[Any]], vocabulary: dict[str, Any], rule: str) -> Split:
    users, items = Vocabulary(vocabulary["users"]), Vocabulary(vocabulary["items"])

    def part(name: str) -> Interactions | None:
        if f"{name}.user_index" not in arrays:
            return None
        return Interactions(
            arrays[f"{name}.user_index"],
            arrays[f"{name}.item_index"],
            users,
            items,
            arrays.get(f"{name}.rating"),
            arrays.get(f"{name}.timestamp"),
            vocabulary["titles"],
        )

    train = part("train")
    if train is None:
        raise RunError("train interactions are missing")
    return Split(train, part("validation"), part("test"), rule)
