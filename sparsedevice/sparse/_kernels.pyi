from typing import Any

TILE: int
STRIP: int

def row_products(
    left_pointers: Any,
    left_columns: Any,
    left_values: Any,
    right_pointers: Any,
    right_columns: Any,
    right_values: Any,
    dim: int,
    first: int,
    last: int,
    out: Any,
    /,
) -> None: ...
def strips(
    pointers: Any,
    columns: Any,
    values: Any,
    dim: int,
    out_pointers: Any,
    out_places: Any,
    out_values: Any,
    /,
) -> None: ...
def weighted_sums(
    pointers: Any,
    places: Any,
    values: Any,
    n_rows: int,
    dim: int,
    weights: Any,
    row_step: int,
    step: int,
    n: int,
    first: int,
    last: int,
    out: Any,
    /,
) -> None: ...
def project_rows(
    columns: Any,
    values: Any,
    first: Any,
    second: Any,
    dim: int,
    n_parts: int,
    rows: Any,
    gradient: Any,
    bias1: Any,
    bias2: Any,
    lr: float,
    explore: float,
    beta1: float,
    beta2: float,
    /,
) -> None: ...
def softmax_rows(
    scores: Any,
    log_inclusion: Any,
    starts: Any,
    columns: Any,
    temperature: float,
    temperature2: float,
    tops: Any,
    rests: Any,
    positives: Any,
    /,
) -> None: ...
