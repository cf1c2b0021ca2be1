"""Making a program small: what its instructions say twice is stored once.

A program is a flatbuffer, and thousands of its bytes are equal shapes, orders of dimensions, constants and
lists. A flatbuffer may point to one place as often as it likes; the exporter of ExecuTorch writes each anew.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np
from executorch.exir._serialize import _flatbuffer_program
from executorch.exir._serialize.generated.executorch_flatbuffer.Program import ProgramT
from numpy.typing import NDArray

_HEADER_AT, _HEADER_BYTES = 8, 32
_SEGMENT_ALIGNMENT = 128
# Values that hold places of other values, and places in instructions other than calls of operators.
_LISTS = ("IntListT", "TensorListT", "OptionalTensorListT")
_SINGLE = ("moveFrom", "moveTo", "condValueIndex", "valueIndex")


def share_equal_parts(program: bytes) -> bytes:
    """The same program with equal parts of its instructions stored once; its constants are not touched.

    Args:
        program: the bytes of a ``.pte`` file with its constants in segments behind the flatbuffer.
    """
    magic, length, size, base, rest = struct.unpack_from("<4sIQQQ", program, _HEADER_AT)
    if magic != b"eh00" or length != _HEADER_BYTES or not base:
        return program  # not as ExecuTorch 1.5 writes programs with constants
    _flatbuffer_program._patch_generated_flatbuffer_aliases()  # the generated reader needs it
    tree = ProgramT.InitFromPackedBuf(program[:size])
    for plan in tree.executionPlan:
        # How torch flattens arguments: the runtime takes them flat.
        plan.containerMetaType.encodedInpStr = plan.containerMetaType.encodedOutStr = b""
        _renumber(plan)
    _share(tree, {})
    builder = _Builder(size)
    builder.Finish(tree.Pack(builder), file_identifier=program[4:8])
    body = bytes(builder.Output())
    (root,) = struct.unpack_from("<I", body)
    new_size = len(body) + _HEADER_BYTES
    new_base = -(-new_size // _SEGMENT_ALIGNMENT) * _SEGMENT_ALIGNMENT
    head = struct.pack("<I", root + _HEADER_BYTES) + body[4:8]
    header = struct.pack("<4sIQQQ", magic, length, new_size, new_base, rest)
    padding = bytes(new_base - new_size)
    return b"".join((head, header, body[_HEADER_AT:], padding, program[base:]))


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal strings and equal vectors of numbers once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[Any, int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        """See flatbuffers."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """See flatbuffers."""
        if s not in self._written:
            self._written[s] = super().CreateString(s, encoding, errors)
        return self._written[s]


def _renumber(plan: Any) -> None:
    """Number a method's values and operators in the order of their use, equal constants once.

    So methods that begin alike have equal instructions.
    """
    calls = [step.instrArgs for chain in plan.chains for step in chain.instructions]
    numbering = _Numbering(plan.values, calls)
    operators: dict[int, int] = {}
    for call in calls:
        if hasattr(call, "opIndex"):
            call.opIndex = operators.setdefault(call.opIndex, len(operators))
        if hasattr(call, "args"):
            call.args = numbering.all_of(call.args)
        for name in _SINGLE:
            if hasattr(call, name):
                setattr(call, name, numbering.of(getattr(call, name)))
    for owner in (plan, *plan.chains):
        owner.inputs, owner.outputs = numbering.all_of(owner.inputs), numbering.all_of(owner.outputs)
    plan.values, plan.operators = numbering.values, [plan.operators[index] for index in operators]


class _Numbering:
    """New places of a method's values, which those that are used get as they are asked for.

    Attributes:
        values: the values at their new places. Lists come after what is in them, as the runtime reads them.
    """

    def __init__(self, values: list[Any], calls: list[Any]) -> None:
        self._old = values
        # What an instruction writes comes last, and is no constant.
        self._written = {int(call.args[-1]) for call in calls if hasattr(call, "args")}
        self._written |= {call.moveTo for call in calls if hasattr(call, "moveTo")}
        self._places: dict[int, int] = {}
        self._constants: dict[Any, int] = {}
        self.values: list[Any] = []

    def of(self, index: int) -> int:
        """The new place of a value; a number below 0, by which a list says that none is there, stays."""
        if index < 0 or index in self._places:
            return self._places.get(index, index)
        value = self._old[index]
        kind = type(value.val).__name__
        if kind in _LISTS:
            value.val.items = self.all_of(value.val.items)
        key = index if kind == "TensorT" or index in self._written else (kind, _content(value.val))
        place = self._places[index] = self._constants.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place

    def all_of(self, indices: NDArray[Any]) -> NDArray[Any]:
        """The new places of several values."""
        return np.array([self.of(int(index)) for index in indices], np.asarray(indices).dtype)


def _content(value: Any) -> Any:
    """What tells constants apart."""
    parts = ((name, getattr(part, "tolist", lambda part=part: part)()) for name, part in vars(value).items())
    return repr(sorted(parts))


def _share(node: Any, packed: dict[Any, int]) -> Any:
    """Let every table below ``node`` be packed once; returns what tells unequal ones apart."""
    if isinstance(node, np.ndarray):
        return node.dtype.str, node.tobytes()
    if isinstance(node, list):
        return tuple(_share(part, packed) for part in node)
    if not hasattr(node, "Pack"):
        return node
    key = (type(node).__name__, *((name, _share(part, packed)) for name, part in vars(node).items()))
    pack = node.Pack

    def once(builder: flatbuffers.Builder) -> int:
        if key not in packed:
            packed[key] = pack(builder)
        return packed[key]

    node.Pack = once
    return key
