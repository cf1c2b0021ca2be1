"""Ids and titles by row as JSON, for apps that have no reader of packed files."""

from __future__ import annotations

import json
from pathlib import Path

from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

VOCABULARY_NAME = "vocabulary.json"


def write_vocabulary(packed: PackedFile, folder: Path) -> None:
    """Write ``items`` (ids), ``titles`` and ``users`` (ids), the last two null where there are none."""
    users = packed.user_vocabulary
    vocabulary = {
        "items": list(packed.vocabulary.ids),
        "titles": None if packed.titles is None else list(packed.titles),
        "users": None if users is None else list(users.ids),
    }
    with atomic_file(folder / VOCABULARY_NAME) as file:
        file.write(json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")).encode())
