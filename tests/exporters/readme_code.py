"""Running the Python of a bundle's README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

#: Each block has names of its own; what all of them import, which takes seconds, is loaded once.
_RUN_ALL = """
import json, sys
for block in json.load(sys.stdin):
    exec(block, {"__name__": "__main__"})
    print(end="\\x1e", flush=True)
"""


def run_readme(folder: Path) -> list[str]:
    """Run the Python blocks of the README in a bundle's folder; what each prints."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert blocks
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL],
        input=json.dumps(blocks),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("\x1e")[:-1]
    assert len(printed) == len(blocks)
    return printed
