"""The Android section of a bundle's README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from sparsedevice.packing import PackedFile

from .project import COMPACT_NAME, MODEL_NAME

_ANDROID = Template("""
## On Android

`android/` is a Gradle project: a library without dependencies (API 23 and later; arm64-v8a, armeabi-v7a and
x86_64, and Java alone where no native library loads) and a demo app with this model in its assets. Open the
folder in Android Studio, or build an installable app without it, on Debian, with no Android SDK:

```sh
cd android
python3 tools/build_apk.py
adb install -r app/build/outputs/sparsedevice-demo.apk
```

In an app of your own: copy `android/sparsedevice` beside its other modules, add `include ':sparsedevice'` to
`settings.gradle`, `implementation project(':sparsedevice')` to the app's dependencies and
`androidResources { noCompress '$ending' }` to its `android` block, and put `$place` into `src/main/assets`.
Then, off the main thread:

```java
List<String> history = Arrays.asList($history);
try (SparseRecommender recommender = SparseRecommender.open(context, "$model")) {
    for (Recommendation item : recommender.recommend(history, $k)) {
        Log.i("sparse", item.id() + " " + item.title() + " " + item.score());
    }
}
```

```kotlin
SparseRecommender.open(context, "$model").use { recommender ->
    for (item in recommender.recommend(listOf($history), $k)) {
        Log.i("sparse", "$${item.id()} $${item.title()} $${item.score()}")
    }
}
```

$storage Keep one recommender for as long
as you need it; all threads may use it at once.
""")
_MAPPED = "The model is used where it lies in the app's package: mapped, never copied."
_EXPANDED = """\
The model is in the compact coding, for a smaller download. The first opening expands it into the app's folder
for files that no backup holds, later ones map what lies there. That takes storage for the packed model too,
once some tenths of a second and several times the model's memory; where room or memory is short, or the file
is damaged, `open` throws an exception that says so, and nothing is left behind.
"""


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
    """The section on the Gradle project and the library."""
    coded = next((name for name in names if Path(name).name == COMPACT_NAME), None)
    strings = ", ".join(json.dumps(id_, ensure_ascii=False).replace("$", "\\u0024") for id_ in history)
    return _ANDROID.substitute(
        history=strings,
        k=min(10, packed.n_items),
        model=COMPACT_NAME if coded else MODEL_NAME,
        ending=Path(COMPACT_NAME if coded else MODEL_NAME).suffix[1:],
        place=coded or MODEL_NAME,
        storage=_EXPANDED.strip() if coded else _MAPPED,
    )
