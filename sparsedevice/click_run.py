"""The run folder of a model of clicks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from sparsedevice.data.clicks import Clicks, ClickSchema
from sparsedevice.errors import RunError
from sparsedevice.extras import require
from sparsedevice.files import atomic_folder, read_json, write_json
from sparsedevice.run_folder import VERSION, check_folder, opened_run, pack_table, unpack_table
from sparsedevice.training.click_config import ClickConfig

if TYPE_CHECKING:
    from sparsedevice.models.dlrm import DLRM

FILES = ("config.json", "metrics.json", "tables.safetensors", "clicks.safetensors", "schema.json")
_ARRAYS = ("label", "rows", "numbers")


@dataclass(frozen=True, eq=False)
class ClickRun:
    """A trained model of clicks, with the held-out rows.

    Attributes:
        config: resolved settings.
        schema: the fields and their categories.
        table: rows of all fields: csr_array float32 (n_rows x dim), or float32[n_rows, dim] where the
            settings made it dense.
        towers: values of the towers' parameters by name, at the size training ended with.
        validation: held-out rows, or None.
        test: held-out rows, or None.
        metrics: what was measured.
        source: the data's name and options, the rule of the split, the fingerprint.
    """

    config: ClickConfig
    schema: ClickSchema
    table: scipy.sparse.csr_array | NDArray[np.float32]
    towers: dict[str, NDArray[np.float32]]
    validation: Clicks | None
    test: Clicks | None
    metrics: dict[str, Any]
    source: dict[str, Any] = field(default_factory=dict)

    def model(self) -> DLRM:
        """The model, ready to score.

        Raises:
            MissingExtraError: if torch is not installed.
        """
        torch = require("torch", extra="train")
        from sparsedevice.models.dlrm import DLRM
        from sparsedevice.models.parameters import Parameters
        from sparsedevice.sparse.dense import DenseTable
        from sparsedevice.sparse.table import SparseTable

        table: DenseTable | SparseTable
        if isinstance(self.table, np.ndarray):
            table = DenseTable(torch.from_numpy(self.table))
        else:
            table = SparseTable.from_csr(self.table)
        parameters = Parameters({name: torch.from_numpy(value) for name, value in self.towers.items()})
        return DLRM(self.schema, table, parameters)

    def summary(self) -> dict[str, Any]:
        """What a person wants to know first, flat."""
        return {
            "model": self.config.model,
            "method": self.config.method,
            "fields": len(self.schema.categories) + len(self.schema.numbers),
            "categories": self.schema.n_rows,
            "dim": self.table.shape[1],
            **self.metrics,
            "split": self.source.get("split"),
            "seed": self.config.seed,
        }

    def save(self, path: str | Path) -> None:
        """Write the run folder; an existing one is replaced as a whole.

        Raises:
            SparseDeviceError: if the folder cannot be written.
        """
        tables: dict[str, NDArray[Any]] = {f"tower.{name}": value for name, value in self.towers.items()}
        if isinstance(self.table, np.ndarray):
            tables["table.dense"] = self.table
        else:
            tables |= pack_table("table", self.table)
        clicks = {
            f"{name}.{array}": np.ascontiguousarray(getattr(part, array))
            for name, part in (("validation", self.validation), ("test", self.test))
            if part is not None
            for array in _ARRAYS
        }
        with atomic_folder(path) as folder:
            write_json(
                folder / "config.json",
                {"version": VERSION, "train": self.config.to_json(), "source": self.source},
            )
            write_json(folder / "metrics.json", self.metrics)
            write_json(folder / "schema.json", self.schema.to_json())
            # Not safetensors' own save_file, which makes files that only their owner can read.
            (folder / FILES[2]).write_bytes(
                save({name: np.ascontiguousarray(v) for name, v in tables.items()})
            )
            (folder / "clicks.safetensors").write_bytes(save(clicks))

    @classmethod
    def load(cls, path: str | Path) -> ClickRun:
        """Read a run folder.

        Raises:
            RunError: if the folder is missing, incomplete, damaged, or of another version or model.
        """
        path = Path(path)
        check_folder(path)
        with opened_run(path, FILES, "a finished run of clicks") as config:
            tables, clicks = load_file(path / "tables.safetensors"), load_file(path / "clicks.safetensors")
            run = cls(
                ClickConfig.from_json(config["train"]),
                ClickSchema.from_json(read_json(path / "schema.json")),
                tables["table.dense"] if "table.dense" in tables else unpack_table("table", tables),
                {n.removeprefix("tower."): v for n, v in tables.items() if n.startswith("tower.")},
                _part(clicks, "validation"),
                _part(clicks, "test"),
                read_json(path / "metrics.json"),
                dict(config.get("source", {})),
            )
        if run.table.shape[0] != run.schema.n_rows:
            raise RunError(f"the run folder {path} is damaged (table and schema differ in size); train again")
        return run


def _part(clicks: dict[str, NDArray[Any]], name: str) -> Clicks | None:
    if f"{name}.label" not in clicks:
        return None
    return Clicks(*(clicks[f"{name}.{array}"] for array in _ARRAYS))
