"""What downloading a model in the compact coding saves, and what expanding it costs.

    python -m benchmarks.web.expand MODEL.sd [--turns 9]

Bytes of the packed file, of the same deflated as a web server would, and of the compact file; milliseconds
of expanding in Node (the first time, which compiles the code, and the median of the others) and in Python,
and of opening the packed file in Node. Needs Node 18 or newer and a compiler for WebAssembly.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median

from sparsedevice.exporters.web import write_assets
from sparsedevice.packing import compact
from sparsedevice.packing.compact import expand_bytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_assets(folder)
        made = compact(arguments.model, folder / "coded")
        if made["kind"] != "compact":
            raise SystemExit(f"{arguments.model}: {made['reason']}")
        script = Path(__file__).with_suffix(".mjs")
        given = [script, folder, folder / "coded", arguments.model, arguments.turns]
        ran = subprocess.run(["node", *map(str, given)], capture_output=True, text=True, check=True)
        found = json.loads(ran.stdout)
        if not found["same"]:
            raise SystemExit("JavaScript expanded the file to other bytes")
        coded, python = (folder / "coded").read_bytes(), []
        for _ in range(arguments.turns):
            begin = time.perf_counter()
            expand_bytes(coded)
            python.append(1000 * (time.perf_counter() - begin))
    packed = arguments.model.read_bytes()
    print("| packed | deflated (zlib -9) | compact |")
    print("|---:|---:|---:|")
    print(f"| {len(packed):,} | {len(zlib.compress(packed, 9)):,} | **{len(coded):,}** |")
    print("| expanding in Node, first ms | then | in Python | opening the packed file in Node |")
    print("|---:|---:|---:|---:|")
    print(
        f"| {found['expand'][0]:.0f} | {median(found['expand'][1:]):.0f} | {median(python):.0f}"
        f" | {median(found['open'][1:]):.1f} |"
    )


if __name__ == "__main__":
    main()
