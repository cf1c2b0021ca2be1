"""The web section of a bundle's README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

_WEB = Template("""
## In a browser

`sparsedevice demo .` serves this folder on this computer and opens the page. Any web server does the same for
others: copy the folder as it is. Over https the page works without a network after the first visit.

In an app of your own, take the files `sparsedevice*` and `model.sd`:

```js
import { SparseRecommender } from "./sparsedevice.js";

const recommender = await SparseRecommender.open("model.sd");
const { items, unknown } = recommender.recommend({ history: $history, k: $k });
for (const { id, title, score } of items) console.log(id, title, score.toFixed(3));
```

The same lines run in Node (18 or newer), in this folder, as a module: `node example.mjs`. What else there is
(`similar`, `score`, `lookup`, `search`, exclusion, candidates, errors) is described in `sparsedevice.d.ts`.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
    """The section on the page and the module."""
    del names
    return _WEB.substitute(history=json.dumps(list(history), ensure_ascii=False), k=min(10, packed.n_items))
