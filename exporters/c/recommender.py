"""Recommending through the C sources of a bundle, compiled on this machine."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import BundleError
from sparsedevice.packing import PackedFile

from ..compiler import find_compiler, run_compiler
from ..row_recommender import RowRecommender, Rows
from .amalgamate import HEADER_NAME, SOURCE_NAME

FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared")
_FROM_HISTORY, _FROM_USER, _FROM_ITEM = range(3)
_PROBE = '#include "sparsedevice.h"\nuint64_t sd_model_bytes(void) { return sizeof(sd_model); }\n'

_Words = ctypes.POINTER(ctypes.c_uint32)


class _Request(ctypes.Structure):
    """``sd_request`` of sparsedevice.h."""

    _fields_ = (
        ("source", ctypes.c_int),
        ("row", ctypes.c_uint32),
        ("history", _Words),
        ("n_history", ctypes.c_uint32),
        ("k", ctypes.c_uint32),
        ("exclude_seen", ctypes.c_int),
        ("exclude", _Words),
        ("n_exclude", ctypes.c_uint32),
        ("candidates", _Words),
        ("n_candidates", ctypes.c_uint32),
    )


class CRecommender(RowRecommender):
    """Calls ``sd_recommend`` of the bundle's own sources; ids and titles come from the packed file."""

    def __init__(self, packed: PackedFile, sources: str | Path) -> None:
        """Compile ``sparsedevice.c`` in ``sources`` and open the packed file with it.

        Raises:
            SparseDeviceError: if there is no compiler, or it fails.
            BundleError: if the compiled core refuses the file.
        """
        super().__init__(packed)
        self._core = load_core(Path(sources))
        self._model = ctypes.create_string_buffer(int(self._core.sd_model_bytes()))
        status = self._core.sd_open(
            self._model, packed.data.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(len(packed.data))
        )
        if status:
            promise = self._core.sd_status_name(status).decode()
            raise BundleError(f"the bundle's C core refuses its model.sd: promise {promise!r}; export again")

    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """See :meth:`RowRecommender.top_rows`."""
        source = _FROM_ITEM if like >= 0 else _FROM_USER if user >= 0 else _FROM_HISTORY
        lists = [
            _words(rows) for rows in (history, excluded, np.empty(0) if candidates is None else candidates)
        ]
        (past, n_past), (out, n_out), (among, n_among) = ((_pointer(rows), len(rows)) for rows in lists)
        k = min(k, self.packed.n_items)
        request = _Request(
            source,
            like if like >= 0 else max(user, 0),
            past,
            n_past,
            k,
            0,
            out,
            n_out,
            among if candidates is not None else None,
            n_among,
        )
        size = int(self._core.sd_scratch_bytes(self._model, ctypes.byref(request)))
        scratch = ctypes.create_string_buffer(max(size, 1))
        rows, scores = np.empty(k, np.uint32), np.empty(k, np.float32)
        count = ctypes.c_uint32(0)
        status = self._core.sd_recommend(
            self._model,
            ctypes.byref(request),
            scratch,
            ctypes.c_uint64(size),
            rows.ctypes.data_as(ctypes.c_void_p),
            scores.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(count),
        )
        if status:
            raise BundleError(
                f"the bundle's C core refuses a query: {self._core.sd_status_name(status).decode()}"
            )
        return rows[: count.value].astype(np.int64), scores[: count.value]


def load_core(sources: Path) -> Any:
    """The core in ``sources`` as a library of this process, compiled once for equal sources.

    Raises:
        SparseDeviceError: if there is no compiler, or it fails.
    """
    content = hashlib.sha256((sources / SOURCE_NAME).read_bytes() + (sources / HEADER_NAME).read_bytes())
    if content.digest() not in _cores:
        _cores[content.digest()] = _compile(sources)
    return _cores[content.digest()]


#: Libraries of this process by the hash of their sources.
_cores: dict[bytes, Any] = {}


def _compile(sources: Path) -> Any:
    with tempfile.TemporaryDirectory() as name:
        library, probe = Path(name) / "libsparsedevice.so", Path(name) / "probe.c"
        probe.write_text(_PROBE)
        run_compiler([*find_compiler(), *FLAGS, f"-I{sources}", "-o", library, sources / SOURCE_NAME, probe])
        core = ctypes.CDLL(str(library))  # stays loaded after the file is gone
    core.sd_model_bytes.restype = ctypes.c_uint64
    core.sd_scratch_bytes.restype = ctypes.c_uint64
    core.sd_status_name.restype = ctypes.c_char_p
    return core


def _words(rows: NDArray[Any]) -> NDArray[np.uint32]:
    # One place at least: an empty list needs an address too.
    words = np.zeros(max(len(rows), 1), np.uint32)
    words[: len(rows)] = rows
    return words[: len(rows)]


def _pointer(words: NDArray[np.uint32]) -> Any:
    return words.ctypes.data_as(_Words)
