"""A thin layer over ``onnx.helper``: nodes in order, fresh names, each constant there once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

INT32, INT64 = TensorProto.INT32, TensorProto.INT64
FLOAT, DOUBLE, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL


class Builder:
    """Nodes and constants of a graph, or of a function, that grows.

    Args:
        prefix: begins the made-up names, so that those of a body do not hide those of the graph around it.
        function: constants are nodes, as a function has no initializers.
    """

    def __init__(self, prefix: str = "", *, function: bool = False) -> None:
        self._prefix = prefix
        self._function = function
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(
        self, kind: str, *inputs: str, name: str = "", outputs: int = 1, used: int = 0, **attributes: Any
    ) -> str:
        """Add a node and return the name of its output ``used``.

        Args:
            kind: an operator of the default domain.
            inputs: names; "" for an optional one that is left out.
            name: name of the used output; made up where empty.
            outputs: how many outputs the node has, the unused ones left out.
            used: which output is wanted.
            attributes: the operator's attributes.
        """
        name = name or f"{self._prefix}{kind.lower()}_{len(self.nodes)}"
        names = ["" for _ in range(outputs)]
        names[used] = name
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{name}/{kind}", **attributes))
        return name

    def node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node of which several outputs are used."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}/{kind}", **attributes))

    def cast(self, value: str, to: int) -> str:
        """Add a Cast."""
        return self.op("Cast", value, to=to)

    def constant(self, value: ArrayLike, dtype: Any, *, name: str = "") -> str:
        """A constant; equal ones without a name of their own are there once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if name or key not in self._constants:
            self._constants[key] = self.table(name or f"{self._prefix}constant_{len(self._constants)}", array)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A constant int64[n]."""
        return self.constant(values, np.int64)

    def table(self, name: str, array: NDArray[Any]) -> str:
        """A named initializer; in a function a constant."""
        tensor = numpy_helper.from_array(array, name)
        if self._function:
            self.nodes.append(helper.make_node("Constant", [], [name], name=f"{name}/Constant", value=tensor))
        else:
            self.initializers.append(tensor)
        return name
