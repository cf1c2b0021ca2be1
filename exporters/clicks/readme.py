"""The README of a bundle of a model of clicks, with code that runs as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from sparsedevice.click_run import ClickRun

from ..targets import Target

_HEAD = Template("""\
# A model of clicks

It gives the probability of a click from $n_categorical fields of categories ($rows table rows, $dim
columns, $values values) and $n_numbers of numbers; target `$target`. Made by sparsedevice $version.
What each file must hash to, what it was trained on and what it scored is in `manifest.json`.

| file | what it is |
|---|---|
$files

$accuracy

## In Python

```python
from sparsedevice.exporters import open_clicks

model = open_clicks(".")
print(model.probability([$example]))
```

`pip install 'sparsedevice[$extra]'` is all it needs. Categories that training did not see, and fields that
are left out, count as unknown.

## Inputs of the artefact

`rows` has a column for each slot, field by field in the order of `schema.json`: the table's row of a
category, which is `first_row + 1` plus its place in `values`. An unknown category is `first_row`, and so is
any number that is not a row of the field. A field with several slots takes several categories; -1 leaves a
slot after its first unused.
$numbers""")

_NUMBERS = """
`numbers` has a column for each numeric field: `(sign(x) log(1 + |x|) - mean) / deviation` with the field's
mean and deviation from `schema.json`, 0 where missing.
"""

_WHAT = {
    "model.onnx": "the graph: from rows and numbers to `probability` and `logit`",
    "model.onnx.data": "the graph's table; keep it beside `model.onnx`, which names it",
    "model.pte": "the program: from rows and numbers to `probability` and `logit`",
    "schema.json": "the fields: their categories, and means and deviations of numbers",
}


def render_readme(target: Target, run: ClickRun, content: Mapping[str, Any], names: Sequence[str]) -> str:
    """The README of a bundle.

    Args:
        target: the bundle's target.
        run: what was exported.
        content: what the manifest will say.
        names: the files of the bundle.
    """
    sizes, schema = content["sizes"], run.schema
    example: dict[str, Any] = {f.name: f.values[0] for f in schema.categories if f.values}
    example |= {field.name: 1.0 for field in schema.numbers}
    text = _HEAD.substitute(
        n_categorical=len(schema.categories),
        n_numbers=len(schema.numbers),
        rows=f"{sizes['categories']:,}",
        dim=sizes["dim"],
        values=sizes["values"],
        target=target.name,
        version=content["sparsedevice"],
        files="\n".join(f"| `{name}` | {_WHAT[name]} |" for name in names),
        accuracy=_accuracy(content["accuracy"]),
        example=repr(example),
        extra=target.extra,
        numbers=_NUMBERS if schema.numbers else "",
    )
    assert target.clicks is not None
    return text + target.clicks.render_readme(run, names)


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    measured = {"this artefact": accuracy["artefact"], "the trained model": accuracy["trained_model"]}
    if accuracy["artefact"] is None:
        return "Its accuracy was not measured: the data had no test part."
    lines = ["| measured on the test part | AUC | log loss |", "|---|---|---|"]
    lines += [
        f"| {name} | {value['auc']:.4f} | {value['log_loss']:.4f} |"
        for name, value in measured.items()
        if value
    ]
    return "\n".join(lines)
