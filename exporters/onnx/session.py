"""Opening and running a graph with onnxruntime, on one thread and without memory that it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sparsedevice.errors import BundleError
from sparsedevice.extras import require


def open_session(model: Path, *, library: Path | None = None) -> Any:
    """An ``onnxruntime.InferenceSession``.

    Args:
        model: the ``.onnx`` file.
        library: a library of operators that the session shall use.

    Raises:
        MissingExtraError: if onnxruntime is not installed.
        BundleError: if onnxruntime does not accept the model.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Idle threads that spin cost battery; an arena keeps memory that one query needed for ever.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    try:
        if library is not None:
            options.register_custom_ops_library(str(library))
        return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"onnxruntime does not accept {model}: {reason}; export the run again") from error


def run_session(
    session: Any, model: Path, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """Run a session; ``model`` is the file that it was made of.

    Raises:
        BundleError: if the model fails, the file beside it being another one, say.
    """
    try:
        found: list[NDArray[Any]] = session.run(outputs, inputs)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{model} does not run: {reason}; export the run again") from error
    return found
