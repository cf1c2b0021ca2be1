"""Checkpoints: safetensors and JSON in ``OUT/checkpoint``, enough to continue to the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparsedevice.errors import RunError
from sparsedevice.files import atomic_folder, read_json, write_json

VERSION = 2
FOLDER = "checkpoint"


def save_checkpoint(out: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write a checkpoint into the run folder ``out``; an older one is replaced as a whole.

    All randomness of training is a function of seed, epoch and step, so these are the generators' states.
    """
    path = out / FOLDER
    with atomic_folder(path) as folder:
        save_file(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            folder / "state.safetensors",
        )
        write_json(folder / "state.json", {"version": VERSION, **state})
    return path


def load_checkpoint(out: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the checkpoint of the run folder ``out``.

    Raises:
        RunError: if there is none, or it is damaged or of another version.
    """
    path = out / FOLDER
    if not path.is_dir():
        if (out / "tables.safetensors").exists():
            raise RunError(
                f"{out} is a finished run, there is nothing to resume; choose another --out to train again"
            )
        raise RunError(f"there is no checkpoint in {out}; train without --resume")
    try:
        state = read_json(path / "state.json")
        tensors = load_file(path / "state.safetensors")
    except (SafetensorError, OSError) as error:
        raise RunError(f"the checkpoint {path} is damaged ({error}); train without --resume") from error
    if state.get("version") != VERSION:
        raise RunError(
            f"{path} has version {state.get('version')!r}, this program reads {VERSION}; train again"
        )
    return tensors, state


def check_same_run(out: Path, state: dict[str, Any], config: dict[str, Any], source: dict[str, Any]) -> None:
    """Refuse a checkpoint of other settings or other data.

    Args:
        out: the run folder.
        state: what ``load_checkpoint`` read.
        config: the settings of this call, as JSON.
        source: the data of this call.

    Raises:
        RunError: with the setting that differs.
    """
    for name, value in state["config"].items():
        if config.get(name) != value:
            raise RunError(
                f"the checkpoint in {out} was made with {name}={value!r}, now it is "
                f"{config.get(name)!r}; resume with the same settings, or train without --resume"
            )
    if state["source"]["fingerprint"] != source["fingerprint"]:
        raise RunError(f"the checkpoint in {out} was made from other data; train without --resume")
