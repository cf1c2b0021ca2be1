"""Ways to store a trained item table in few bytes: each gives the decoded table and what it weighs.

A code's *row bytes* are what one more item costs. What all items share (codebooks, rotations) is counted
apart, as *shared bytes*. No code is charged for row norms: rows are compared by cosine, and a norm follows
from the row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.packing import compact, pack
from sparsedevice.packing.quantize import Rows, quantize

Table = sp.csr_array


class Coded(NamedTuple):
    """A table as its reader would see it.

    Attributes:
        items: decoded rows, csr_array float32 (n_items x dim).
        row_bytes: bytes of one item.
        shared_bytes: bytes of what all items share.
        scan_bytes: bytes of one item in the form that is scanned, where that is another.
    """

    items: Table
    row_bytes: float
    shared_bytes: int = 0
    scan_bytes: float | None = None


def decoded(rows: Rows) -> Table:
    """Stored integers times scale, csr_array float32."""
    owner = np.repeat(np.arange(len(rows.scales)), np.diff(rows.indptr))
    values = rows.values.astype(np.float32) * rows.scales[owner]
    return sp.csr_array((values, rows.columns, rows.indptr), shape=(len(rows.scales), rows.dim))


def sparse(items: Table, similarity: str, values: str) -> Coded:
    """Our file: row bytes as downloaded (compact), scan bytes as opened (packed); ids are left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.sd"
        ids = [str(i) for i in range(items.shape[0])]
        options = {"values": values, "similarity": similarity}
        order = pack(path, items, item_ids=ids, **options).order
        # Ids that count up in the file's order cost next to nothing in the compact file.
        for row, item in enumerate(order.tolist()):
            ids[item] = str(row)
        info = pack(path, items, item_ids=ids, **options)
        total = compact(path, path.with_suffix(".sdz"))["bytes"]
        scanned = sum(size for name, size in info.section_bytes.items() if "_id_" not in name)
    rows = quantize(items, values, similarity, name="items")  # type: ignore[arg-type]
    return Coded(decoded(rows), total / items.shape[0], scan_bytes=scanned / items.shape[0])


def dense_float(items: Table) -> Coded:
    """Every entry as float32."""
    return Coded(items, 4.0 * items.shape[1])


def dense_integers(items: Table, similarity: str, values: str) -> Coded:
    """Every entry at 8 or 4 bits, the step chosen for each row as for our own file."""
    rows = quantize(items, values, similarity, name="items")  # type: ignore[arg-type]
    return Coded(decoded(rows), items.shape[1] * {"int8": 1.0, "int4": 0.5}[values])


def signs(items: Table) -> Coded:
    """One bit an entry: its sign after the column's mean is taken off; queries stay real numbers.

    The mean row is shared and added back, scaled by the mean length of what was taken off.
    """
    table = _unit(items)
    mean = table.mean(0)
    rest = table - mean
    step = np.abs(rest).mean(1, keepdims=True).mean()
    return Coded(sp.csr_array(mean + step * np.sign(rest)), items.shape[1] / 8, 4 * items.shape[1])


def principal(items: Table, width: int) -> Coded:
    """The first ``width`` principal components (about the mean) at 8 bits."""
    table = _unit(items)
    mean = table.mean(0)
    _, _, axes = np.linalg.svd(table - mean, full_matrices=False)
    axes = axes[:width]
    rows = quantize(sp.csr_array((table - mean) @ axes.T), "int8", "dot", name="items")
    back = decoded(rows).toarray() @ axes + mean
    # Four bytes for the step of a row, which the cosine does not give here.
    return Coded(sp.csr_array(back.astype(np.float32)), width + 4.0, 4 * axes.size + 4 * len(mean))


def product(items: Table, parts: int, *, rotate: bool, seed: int) -> Coded:
    """Product quantisation with 256 centroids for each of ``parts`` parts, after OPQ's rotation if asked.

    Jégou et al. 2011; Ge et al. 2013; as faiss does them. Needs the package faiss-cpu.
    """
    import faiss

    table = np.ascontiguousarray(_unit(items), np.float32)
    dim, shared = table.shape[1], 256 * table.shape[1] * 4
    turned = table
    if rotate:
        turn = faiss.OPQMatrix(dim, parts)
        turn.train(table)
        turned = turn.apply_py(table)
        shared += 4 * dim * dim
    quantizer = faiss.ProductQuantizer(dim, parts, 8)
    quantizer.cp.seed = seed + 1234
    quantizer.train(turned)
    back = quantizer.decode(quantizer.compute_codes(turned))
    if rotate:
        back = turn.reverse_transform(back)
    return Coded(sp.csr_array(np.asarray(back, np.float32)), float(parts), shared)


def _unit(items: Table) -> NDArray[np.float32]:
    table = items.toarray()
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
