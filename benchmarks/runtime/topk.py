"""Top-k over a whole catalogue: the core, onnxruntime and numpy in one run, one thread each.

    python benchmarks/runtime/topk.py                  # synthetic, 40,981 x 64, 90 % sparse
    python benchmarks/runtime/topk.py model.sd         # a packed file
    python benchmarks/runtime/topk.py --dim 512 --active 16 --csr --kernels    # beside CSR and other kernels

The arms take turns, so that a busy moment hits all of them. In a turn each arm is called five times: the
first call finds the caches as the arm before left them ("cold"), the median of the others is its time
("warm"). Reported are medians over the turns, and the median of the ratios within a turn. The core's time
is that of a whole `recommend` call from Python: ids in, ids out. Rivals get their query vector ready-made
and give row numbers. "Overlap" is the share of the exact top-k, that of the float32 product of query and
dequantised rows, that an arm finds. Anonymous memory is that of this process, before and after the core
opens and answers.
"""

# ruff: noqa: E402 (threads must be limited before numpy is imported)
from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import PackedFile, pack
from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.recommender import Recommendations


def anonymous_bytes() -> int:
    """Private memory of this process that no file backs."""
    total = 0
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(("Anonymous:", "SwapPss:")):
            total += int(line.split()[1]) * 1024
    return total


def synthetic(path: Path, n_items: int, dim: int, active: float, values: str, layout: str = "auto") -> None:
    """Rows of random length around `active`, random columns, normal values, 500 users."""
    rng = np.random.default_rng(0)

    def rows(n: int) -> sp.csr_array:
        lengths = np.clip(rng.poisson(active, n), 1, dim)
        columns = np.argsort(rng.random((n, dim)), axis=1)
        keep = np.arange(dim) < lengths[:, None]
        data = rng.normal(size=lengths.sum()).astype(np.float32)
        table = sp.csr_array(
            (data, columns[keep], np.concatenate(([0], np.cumsum(lengths)))),
            shape=(n, dim),
        )
        table.sort_indices()
        return table

    pack(
        path,
        rows(n_items),
        item_ids=[str(i) for i in range(n_items)],
        users=rows(500),
        user_ids=[str(i) for i in range(500)],
        values=values,  # type: ignore[arg-type]
        layout=layout,
    )


def onnx_session(table: np.ndarray, k: int, *, int8: bool) -> Callable[[np.ndarray], object]:
    """Dense MatMul and TopK in onnxruntime; int8: dynamically quantised weights."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["q", "table"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["best", "rows"]),
        ],
        "dense",
        [helper.make_tensor_value_info("q", TensorProto.FLOAT, [1, table.shape[1]])],
        [
            helper.make_tensor_value_info("best", TensorProto.FLOAT, [1, k]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, [1, k]),
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(table.T), "table"),
            numpy_helper.from_array(np.array([k], np.int64), "k"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/dense.onnx"
        onnx.save(model, path)
        if int8:
            import logging

            from onnxruntime.quantization import QuantType, quantize_dynamic

            logging.disable(logging.WARNING)
            quantize_dynamic(path, f"{folder}/int8.onnx", weight_type=QuantType.QInt8)
            path = f"{folder}/int8.onnx"
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda q: session.run(None, {"q": q[None]})


def faiss_index(table: np.ndarray, k: int) -> Callable[[np.ndarray], object] | None:
    """PQ16x4 fast-scan, where faiss is installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(table.shape[1], "PQ16x4fs", faiss.METRIC_INNER_PRODUCT)
    index.train(table)
    index.add(table)
    return lambda q: index.search(q[None], k)


def numpy_arm(table: np.ndarray, k: int) -> Callable[[np.ndarray], object]:
    def run(q: np.ndarray) -> object:
        scores = table @ q
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best])]

    return run


def exact_query(packed: PackedFile, rows: np.ndarray) -> np.ndarray:
    """A history's query before it is quantised, float32[dim] of length 1."""
    rule = packed.fold_in
    weights = np.ones(len(rows)) if rule.weights is None else rule.weights[rows].astype(np.float64)
    query = weights @ packed.items[rows].toarray().astype(np.float64)
    if rule.matrix is not None:
        query = rule.matrix.astype(np.float64) @ query
    return (query / np.linalg.norm(query)).astype(np.float32)


def rows_of(answer: object) -> set[int]:
    """Rows of what an arm gave back."""
    if isinstance(answer, Recommendations):
        return set(answer.rows.tolist())
    rows = answer if isinstance(answer, np.ndarray) else answer[1]  # type: ignore[index]
    return set(np.asarray(rows).ravel().tolist())


def read_once(packed: PackedFile) -> Callable[[], object]:
    """Reading the bytes that a scan touches once: columns, values and scales, summed by numpy."""
    from sparsedevice.packing.format import Kind

    sections = [packed.section(kind) for kind in (Kind.ITEM_COLUMNS, Kind.ITEM_VALUES, Kind.ITEM_SCALES)]
    words = [section[: len(section) // 8 * 8].view(np.uint64) for section in sections]
    return lambda: [np.bitwise_xor.reduce(word) for word in words]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, help="a packed file; by default a synthetic table")
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--items", type=int, default=40_981)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--active", type=float, default=6.4, help="entries of a row")
    parser.add_argument("--values", default="int8", help="of the synthetic table: int8 or int4")
    parser.add_argument("--csr", action="store_true", help="also time the synthetic table in CSR layout")
    parser.add_argument("--kernels", action="store_true", help="also time the core's other kernels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "synthetic.sd"
        if arguments.file is None:
            synthetic(path, arguments.items, arguments.dim, arguments.active, arguments.values)
        others = {}
        if arguments.csr and arguments.file is None:
            others["csr"] = Path(folder) / "csr.sd"
            shape = arguments.items, arguments.dim, arguments.active, arguments.values
            synthetic(others["csr"], *shape, layout="csr")
        measure(path, arguments.k, arguments.turns, others, kernels=arguments.kernels)


def other_cores(path: Path, others: dict[str, Path], *, kernels: bool) -> dict[str, CoreRecommender]:
    """The same table in other files and by other kernels."""
    found = {f"core, {name}": CoreRecommender.open(other) for name, other in others.items()}
    for name in CoreRecommender.open(path, verify=False).kernels[:-1] if kernels else ():
        found[f"core ({name})"] = core = CoreRecommender.open(path, verify=False)
        core.kernel = name
    return found


def measure(path: Path, k: int, turns: int, others: dict[str, Path], *, kernels: bool) -> None:
    before = anonymous_bytes()
    started = time.perf_counter()
    core = CoreRecommender.open(path)
    load_ms = (time.perf_counter() - started) * 1e3
    started = time.perf_counter()
    core = CoreRecommender.open(path, verify=False)
    trusted_ms = (time.perf_counter() - started) * 1e3
    core.recommend(history=[], k=k)
    anonymous = anonymous_bytes() - before
    packed = PackedFile.open(path)
    shape = f"{packed.n_items} x {packed.dim}, {packed.nnz} entries"
    print(f"{path.name}: {shape}, {packed.values}, {packed.layout}; {len(packed.data):,} bytes")
    print(f"opened and verified in {load_ms:.2f} ms, unverified in {trusted_ms:.3f} ms")
    print(f"anonymous memory for opening and answering: {anonymous:,} bytes beyond the mapped file")

    # The dense form exists in this benchmark only: it is what the rivals need.
    rng = np.random.default_rng(1)
    dense = packed.items.toarray()
    ids = packed.vocabulary.ids
    histories = [[ids[int(i)] for i in rng.integers(0, packed.n_items, 10)] for _ in range(64)]
    queries = [exact_query(packed, np.unique(packed.vocabulary.rows(history))) for history in histories]
    arms: dict[str, Callable[[int], object]] = {
        f"core ({core.kernel})": lambda i: core.recommend(history=histories[i], k=k, exclude="none")
    }
    for name, other in other_cores(path, others, kernels=kernels).items():
        arms[name] = lambda i, other=other: other.recommend(history=histories[i], k=k, exclude="none")
    if packed.n_users:
        users = [packed.user_vocabulary.ids[i % packed.n_users] for i in range(64)]  # type: ignore[union-attr]
        arms["core, user row"] = lambda i: core.recommend(user=users[i], k=k, exclude="none")
    read = read_once(packed)
    arms["reading the bytes once (numpy xor)"] = lambda _: read()
    for name, arm in {
        "onnxruntime fp32": onnx_session(dense, k, int8=False),
        "onnxruntime int8": onnx_session(dense, k, int8=True),
        "faiss PQ16x4 fast-scan": faiss_index(dense, k),
        "numpy fp32": numpy_arm(dense, k),
    }.items():
        if arm is not None:
            arms[name] = lambda i, arm=arm: arm(queries[i])
    # Arms that answer the histories; the exact ranking is that of the dense float32 product.
    ranked = [name for name in arms if "user row" not in name and "reading" not in name]
    cold: dict[str, list[float]] = {name: [] for name in arms}
    warm: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(-5, turns):
        for name, arm in arms.items():
            times = []
            for call in range(5):
                begin = time.perf_counter_ns()
                arm((turn + call) % 64)
                times.append((time.perf_counter_ns() - begin) / 1e3)
            if turn >= 0:
                cold[name].append(times[0])
                warm[name].append(float(np.median(times[1:])))
    first = np.array(next(iter(warm.values())))
    exact = [set(np.argsort(-(dense @ q), kind="stable")[:k].tolist()) for q in queries]
    print(f"\ntop-{k}, one thread, {turns} turns")
    print("| arm | warm, median us | p90 | cold, median us | times the core's | overlap |")
    print("|---|---|---|---|---|---|")
    for name, us in warm.items():
        ratio = np.median(np.array(us) / first)
        figures = (np.median(us), np.percentile(us, 90), np.median(cold[name]))
        shared = [len(exact[i] & rows_of(arms[name](i))) / k for i in range(64)] if name in ranked else []
        overlap = f"{np.mean(shared):.3f}" if shared else ""
        print(
            f"| {name} |" + "".join(f" {figure:.1f} |" for figure in figures) + f" {ratio:.2f} | {overlap} |"
        )


if __name__ == "__main__":
    main()
