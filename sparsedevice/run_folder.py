"""What all run folders share: how one is opened, and how a sparse table lies in its safetensors file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from safetensors import SafetensorError

from sparsedevice.errors import RunError, SparseDeviceError
from sparsedevice.files import read_json

VERSION = 1


@contextmanager
def opened_run(path: Path, files: Sequence[str], kind: str) -> Iterator[dict[str, Any]]:
    """``config.json`` of a finished run, for the rest of the folder to be read in the body.

    Args:
        path: the run folder.
        files: what must lie in it.
        kind: what it is called in a message, "a finished run" for example.

    Raises:
        RunError: if the folder is missing, incomplete or of another version, or the body finds it damaged.
    """
    for name in files:
        if not (path / name).is_file():
            hint = "continue it with --resume" if (path / "checkpoint").is_dir() else "train again"
            raise RunError(f"{path} is not {kind}: {name} is missing; {hint}")
    try:
        config = read_json(path / "config.json")
        if config.get("version") != VERSION:
            raise RunError(
                f"{path}/config.json has version {config.get('version')!r}, "
                f"this program reads {VERSION}; train again"
            )
        yield config
    except RunError:
        raise
    except (SparseDeviceError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"the run folder {path} is damaged ({error}); train again") from error


def check_folder(path: Path) -> None:
    """Refuse a path where no folder is.

    Raises:
        RunError: with the command that trains a run there.
    """
    if not path.is_dir():
        raise RunError(f"there is no run folder {path}; train one with: sparsedevice train DATA --out {path}")


def pack_table(name: str, table: scipy.sparse.csr_array) -> dict[str, NDArray[Any]]:
    """Arrays of a sparse table, each with ``name`` in front."""
    return {
        f"{name}.row_start": table.indptr.astype(np.int64),
        f"{name}.columns": table.indices.astype(np.int32),
        f"{name}.values": table.data.astype(np.float32),
        f"{name}.shape": np.array(table.shape, dtype=np.int64),
    }


def unpack_table(name: str, arrays: dict[str, NDArray[Any]]) -> scipy.sparse.csr_array:
    """The table that ``pack_table`` took apart.

    Raises:
        KeyError: if an array is missing.
        ValueError: if they make no table.
    """
    n_rows, dim = (int(n) for n in arrays[f"{name}.shape"])
    table = scipy.sparse.csr_array(
        (arrays[f"{name}.values"], arrays[f"{name}.columns"], arrays[f"{name}.row_start"]),
        shape=(n_rows, dim),
    )
    table.check_format(full_check=True)
    return table
