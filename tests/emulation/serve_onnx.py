"""Runs in the emulated Python: a JSON question a line, an answer a line. Needs numpy and onnxruntime only."""

import json
import sys

import numpy as np
import onnxruntime

sessions = {}


def open_session(model, library):
    """As ``OnnxRecommender`` opens it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if library:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


for line in sys.stdin:
    question = json.loads(line)
    key = (question["model"], question["library"])
    if key not in sessions:
        sessions[key] = open_session(*key)
    session = sessions[key]
    feed = {node.name: np.array(question["feed"][node.name], np.int64) for node in session.get_inputs()}
    rows, scores = session.run(["rows", "scores"], feed)
    print(json.dumps({"rows": rows.tolist(), "bits": scores.view(np.uint32).tolist()}), flush=True)
