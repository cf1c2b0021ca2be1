"""Runs in the emulated Python: a JSON question a line, an answer a line. Needs numpy and onnxruntime only.

python serve_onnx.py [TIMES [FILE]]: each question is run TIMES times; FILE holds questions to read instead
of standard input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnxruntime

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


def main(times: str = "1", file: str | None = None) -> None:
    """Answer until there is no further question."""
    if file:
        sys.stdin = open(file)  # noqa: SIM115 - for as long as this program runs
    for line in sys.stdin:
        question = json.loads(line)
        key = (question["model"], question["library"])
        if key not in sessions:
            sessions[key] = open_session(*key)
        session = sessions[key]
        feed = {node.name: np.array(question["feed"][node.name], np.int64) for node in session.get_inputs()}
        for _ in range(int(times)):
            rows, scores = session.run(["rows", "scores"], feed)
        sys.stdout.write(json.dumps({"rows": rows.tolist(), "bits": scores.view(np.uint32).tolist()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
