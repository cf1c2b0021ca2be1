"""What the README of a bundle with the ExecuTorch operator says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

_TEXT = Template("""
## With ExecuTorch

`model.pte` carries the packed file and calls one operator, `sparsedevice::score_topk`: the C core in
`sparsedevice.c`, bound by `sd_executorch.cpp`. Build both with your app against its ExecuTorch; no torch is
needed. With the libraries of the Python package (1.5.1, Linux):

```sh
ET=$$(python -c "import importlib.util as u; print(u.find_spec('executorch').submodule_search_locations[0])")
CORE="-std=c11 -O3 -ffp-contract=off -fPIC"
FLAGS="-std=c++17 -O2 -fPIC -DC10_USING_CUSTOM_GENERATED_MACROS -I$$ET/include"
FLAGS="$$FLAGS -I$$ET/include/executorch/runtime/core/portable_type/c10"
LINK="-L$$ET/lib -Wl,--no-as-needed -lexecutorch -Wl,-rpath,$$ET/lib"
cc $$CORE -c sparsedevice.c
c++ $$FLAGS sd_executorch_run.cpp sd_executorch.cpp sparsedevice.o -o sd-executorch-run $$LINK
./sd-executorch-run model.pte 5 $rows
```

`forward(history, user, like, excluded, candidates)` takes int64 lists of rows, `user` and `like` of one
element (-1 for none), and returns the $k best rows with their scores, best first, equal scores in row order;
rows of -1 and scores of minus infinity stand where fewer are eligible. An empty `candidates` means all rows.
Row numbers outside the table, -1 for one, are ignored. `vocabulary.json` holds the ids and titles by row.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:  # noqa: ARG001
    """The section on ``model.pte`` and its operator.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    rows = " ".join(str(packed.vocabulary.row(id_)) for id_ in history)
    return _TEXT.substitute(rows=rows, k=min(128, packed.n_items))
