"""Rows padded to one width, for the graphs of models with a network."""

from __future__ import annotations

import numpy as np
import pytest

from sparsedevice.errors import TargetError
from sparsedevice.exporters.padded_rows import BLOCK_ROWS, MOST_PADDING, pad_rows, padded_rows
from tests.exporters.test_executorch_conformance import rows_of


@pytest.mark.parametrize(("lengths", "dim"), [([0, 0], 64), ([5], 300), (np.arange(BLOCK_ROWS + 7) % 9, 64)])
def test_blocks_hold_every_entry_once(lengths, dim):
    lengths = np.asarray(lengths)
    rows = rows_of(lengths, dim)
    found = pad_rows(rows, "onnx")
    assert found.n_rows == len(lengths)
    assert found.scales.size == padded_rows(len(lengths)) >= len(lengths)
    assert found.columns.shape == found.values.shape == (*found.scales.shape, max(1, lengths.max()))
    dense = np.zeros((found.scales.size, dim))
    flat = found.columns.reshape(len(dense), -1).astype(int), found.values.reshape(len(dense), -1)
    np.add.at(dense, (np.arange(len(dense))[:, None], flat[0]), flat[1])
    wanted = np.zeros_like(dense)
    wanted[np.repeat(np.arange(len(lengths)), lengths), rows.columns] = rows.values
    np.testing.assert_array_equal(dense, wanted)


def test_one_long_row_does_not_bring_a_dense_table_back():
    lengths = np.full(1000, 3)
    lengths[500] = 3 * MOST_PADDING
    assert pad_rows(rows_of(lengths, 64), "onnx").values.shape[2] == 3 * MOST_PADDING
    lengths[500] = 60
    with pytest.raises(TargetError, match=r"60 of 64 entries where rows have 3\.1, .* 19\.6 times") as caught:
        pad_rows(rows_of(lengths, 64), "onnx")
    assert str(caught.value).endswith("train with --fan-in fixed")
