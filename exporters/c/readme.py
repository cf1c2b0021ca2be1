"""What the README of a C bundle says beyond the common part."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

_TEXT = Template("""
## In C

`sparsedevice.h` and `sparsedevice.c` are the whole runtime: C11, no libc, no allocation, no threads, no
global state. Map `model.sd` and hand it to `sd_open`; `sd_recommend.c` is a worked example of 80 lines.

```sh
cc -std=c11 -O3 -ffp-contract=off -c sparsedevice.c
cc -std=c11 -O3 sd_recommend.c sparsedevice.o -o sd-recommend
./sd-recommend model.sd -k 5 $history
```

`make` builds both tools, and so does CMake:

```sh
cmake -S . -B build
cmake --build build
./build/sd-bench model.sd --k 20 --repetitions 200
```

For a board such as a Raspberry Pi, build there with the same commands, or elsewhere, static, and copy the
tool and `model.sd`: `make CC=aarch64-linux-gnu-gcc LDFLAGS=-static` for 64-bit systems,
`make CC=arm-linux-gnueabihf-gcc LDFLAGS=-static` for 32-bit ones. `sd-bench` then tells what a query
and its parts cost there: samples as they are taken, and a JSON line with the result last.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:  # noqa: ARG001
    """The section on the sources.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    return _TEXT.substitute(history=shlex.join(history))
