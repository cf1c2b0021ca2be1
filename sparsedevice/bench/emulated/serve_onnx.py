"""Runs in the emulated Python: a JSON question a line, an answer a line. Needs numpy and onnxruntime only.

python serve_onnx.py [FILE]: FILE holds questions to read instead of standard input; each is then run twice,
the second time between the marks that the counting plugins wait for.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

_RETURN = b"\xc0\x03\x5f\xd6"
_BEGIN, _END = b"\xdf\x2f\x03\xd5", b"\xff\x2f\x03\xd5"  # hint #0x7e, hint #0x7f
sessions: dict[tuple[str, str | None], Any] = {}


def open_session(model: str, library: str | None) -> Any:
    """As ``OnnxRecommender`` opens it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    if library:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def make_marks(code: mmap.mmap) -> tuple[Callable[[], None], Callable[[], None]]:
    """Two functions of two instructions each, the first of them a mark; ``code`` must outlive them."""
    code.write(_BEGIN + _RETURN + _END + _RETURN)
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    kind = ctypes.CFUNCTYPE(None)
    return kind(start), kind(start + 8)


def main(file: str | None = None) -> None:
    """Answer until there is no further question."""
    begin = end = None
    if file:
        sys.stdin = open(file)  # noqa: SIM115 - for as long as this program runs
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        begin, end = make_marks(code)
        gc.disable()
    for line in sys.stdin:
        question = json.loads(line)
        key = (question["model"], question["library"])
        if key not in sessions:
            sessions[key] = open_session(*key)
        session = sessions[key]
        feed = {node.name: np.array(question["feed"][node.name], np.int64) for node in session.get_inputs()}
        rows, scores = session.run(["rows", "scores"], feed)
        if begin and end:
            begin()
            session.run(["rows", "scores"], feed)
            end()
        sys.stdout.write(json.dumps({"rows": rows.tolist(), "bits": scores.view(np.uint32).tolist()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
