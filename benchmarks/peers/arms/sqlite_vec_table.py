"""sqlite-vec: a virtual table of float32 or int8 vectors, brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

# apsw brings its own SQLite: many builds of Python leave out the loading of extensions.
REQUIREMENTS = ["numpy==2.4.6", "sqlite-vec==0.1.9", "apsw==3.54.1.0"]
VARIANTS = ["fp32", "int8"]


def load(variant: str, data: Path, k: int) -> Loaded:
    """Write the database, then ask by cosine distance."""
    import apsw
    import sqlite_vec

    items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")
    path = data / f"{variant}.sqlite"
    path.unlink(missing_ok=True)
    base = apsw.Connection(str(path))
    base.enable_load_extension(True)
    base.load_extension(sqlite_vec.loadable_path())
    kind, wrap = ("float", "?") if variant == "fp32" else ("int8", "vec_int8(?)")
    if variant == "int8":
        items, queries = (np.rint(x * (127 / np.abs(x).max())).astype(np.int8) for x in (items, queries))
    base.execute(f"create virtual table v using vec0(e {kind}[{items.shape[1]}] distance_metric=cosine)")
    with base:
        base.executemany(
            f"insert into v(rowid, e) values (?, {wrap})", ((i, row.tobytes()) for i, row in enumerate(items))
        )
    query = f"select rowid from v where e match {wrap} and k = {k} order by distance"
    asked = [row.tobytes() for row in queries]
    return Loaded(
        lambda number: [row[0] for row in base.execute(query, (asked[number],)).fetchall()],
        path.stat().st_size,
    )


if __name__ == "__main__":
    serve(load, "apsw", "sqlite_vec")
