from collections.abc import Sequence
from typing import Any, final

_Answer = tuple[list[str], bytes, bytes, list[str], list[str] | None]
_Ids = Sequence[str | int]

def decode_lanes(
    words: Any,
    lane_words: Any,
    lengths: Any,
    frequencies: Any,
    low: Any,
    out: Any,
    n_symbols: int,
    limit: int,
    gaps: bool,
    shift: int,
    low_bits: int,
    /,
) -> bool: ...
def id_index(ids: Any, ends: Any, /) -> bytes: ...
def cut(symbols: Any, ends: Any, numbers: Any, costs: Any, text: Any, /) -> bytes | None: ...

class FormatError(Exception): ...

@final
class Model:
    kernel: str
    @property
    def kernels(self) -> list[str]: ...
    @property
    def n_items(self) -> int: ...
    @property
    def dim(self) -> int: ...
    def __new__(cls, buffer: Any, /) -> Model: ...
    def recommend(
        self,
        history: _Ids | None,
        user: str | int | None,
        k: int,
        exclude: str | _Ids,
        candidates: _Ids | None,
        /,
    ) -> _Answer: ...
    def recommend_batch(
        self,
        histories: Sequence[_Ids] | None,
        users: _Ids | None,
        k: int,
        exclude: str | _Ids,
        /,
    ) -> list[_Answer]: ...
    def similar(self, item: str | int, k: int, /) -> _Answer: ...
    def score(self, history: _Ids | None, user: str | int | None, items: _Ids, /) -> bytes: ...
    def lookup(self, ids: _Ids, /) -> tuple[bytes, bytes, bytes]: ...
    def rows(self, ids: _Ids, /) -> bytes: ...
    def texts(self, rows: Any, /) -> tuple[list[str], list[str] | None]: ...
    def verify(self) -> None: ...
