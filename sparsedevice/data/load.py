"""From a source to interactions, and to a split."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.data.filters import apply_filters
from sparsedevice.data.formats import reader_for
from sparsedevice.data.interactions import Interactions
from sparsedevice.data.log import Log
from sparsedevice.data.options import DataOptions
from sparsedevice.data.splits import Split, make_split
from sparsedevice.data.synthetic import SyntheticOptions, make_synthetic
from sparsedevice.errors import DataError


def load_split(source: str | Path, options: DataOptions | None = None) -> Split:
    """Read a source, filter it and split it.

    Args:
        source: a file, a folder, ``synthetic``, or ``synthetic:users=2000,items=600,seed=0``.
        options: columns, filters and split; None takes the defaults.

    Raises:
        DataError: if the source cannot be read or split as asked: one sentence with file, line and value.
        ConfigError: if a synthetic parameter is outside its range.
        MissingExtraError: if the format needs a package that is not installed.
    """
    options = options or DataOptions()
    return make_split(_read(source, options), options)


def read_interactions(source: str | Path, options: DataOptions | None = None) -> Interactions:
    """Read and filter a source; parts that it comes in are joined, train first.

    Args:
        source: as in ``load_split``.
        options: columns and filters; None takes the defaults.

    Raises:
        DataError: as ``load_split``.
        ConfigError: as ``load_split``.
        MissingExtraError: as ``load_split``.
    """
    return _read(source, options or DataOptions()).interactions


def _read(source: str | Path, options: DataOptions) -> Log:
    if isinstance(source, str) and (source == "synthetic" or source.startswith("synthetic:")):
        return apply_filters(Log(make_synthetic(SyntheticOptions.parse(source)), None, (source,)), options)
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; give a log, or 'synthetic' to try things out")
    return apply_filters(reader_for(path, options)(path, options), options)
