"""The ES module behind the interface of every backend: messages go to Node or to a browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsedevice.errors import ConfigError, PackedFileError, SparseDeviceError, UnknownIdError
from sparsedevice.runtime.recommender import Recommendations, Recommender

DRIVER = Path(__file__).with_name("driver.mjs")
Send = Callable[[dict[str, Any]], dict[str, Any]]


class NodeModule:
    """A Node process that runs the module of a folder."""

    def __init__(self, folder: Path) -> None:
        self.url = (folder / "sparsedevice.js").as_uri()
        self._process = subprocess.Popen(
            ["node", str(DRIVER), self.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def send(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


def call(send: Send, operation: str, **message: Any) -> Any:
    """The answer, or the module's error as the Python error of the same name."""
    got = send({"operation": operation, **message})
    if "error" not in got:
        return got["answer"]
    text = got["message"]
    if got["error"] == "PackedFileError":
        sentence, _, promise = text.removesuffix("]").rpartition(" [promise: ")
        raise PackedFileError(promise, sentence)
    errors = {
        "ConfigError": ConfigError,
        "UnknownIdError": UnknownIdError,
        "SparseDeviceError": SparseDeviceError,
    }
    assert got["error"] in errors, text
    raise errors[got["error"]](text)


def plain(value: Any) -> Any:
    """Arrays as lists, for JSON."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def given(**arguments: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in arguments.items()}


class ModuleRecommender(Recommender):
    def __init__(self, send: Send, source: str, **options: Any) -> None:
        self._send = send
        opened = call(send, "open", source=source, options=options)
        self._handle, self.info = opened["handle"], opened["info"]

    def close(self) -> None:
        """Let the module go; nothing can be asked afterwards."""
        self._ask("close")

    def _ask(self, operation: str, **message: Any) -> Any:
        return call(self._send, operation, handle=self._handle, **message)

    def recommend(self, *, history=None, user=None, k=10, exclude="seen", candidates=None) -> Recommendations:
        question = given(history=history, user=user, k=k, exclude=exclude, candidates=candidates)
        return self._named(self._ask("recommend", question=question))

    def similar(self, item, k=10) -> Recommendations:
        return self._named(self._ask("similar", item=item, k=k))

    def score(self, *, history=None, user=None, items) -> np.ndarray:
        question = given(history=history, user=user, items=items)
        return np.array(self._ask("score", question=question), np.float32)

    def lookup(self, ids) -> sp.csr_array:
        rows = self._ask("lookup", ids=plain(ids))
        indptr = np.cumsum([0, *(len(row["columns"]) for row in rows)])
        columns = np.array([column for row in rows for column in row["columns"]], np.int32)
        values = np.array([value for row in rows for value in row["values"]], np.float32)
        return sp.csr_array((values, columns, indptr), shape=(len(rows), self.info["dim"]))

    def search(self, text: str, limit: int) -> list[dict[str, Any]]:
        return self._ask("search", text=text, limit=limit)

    def _named(self, answer: dict[str, Any]) -> Recommendations:
        items = answer["items"]
        return Recommendations(
            [item["id"] for item in items],
            np.array([item["score"] for item in items], np.float32),
            np.array([item["row"] for item in items], np.int32),
            answer["unknown"],
            [item["title"] for item in items] if self.info["titles"] else None,
        )
