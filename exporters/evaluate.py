"""The accuracy of a bundle, measured through its own runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsedevice.data import DataOptions, Split, load_split
from sparsedevice.errors import BundleError, DataError
from sparsedevice.evaluation import evaluate_recommender
from sparsedevice.packing import PackedFile

from .bundle import Bundle
from .clicks import evaluate_click_bundle
from .targets import PACKED_NAME


def evaluate_bundle(
    path: str | Path, *, data: str | Path | None = None, k: int = 20, max_users: int | None = None
) -> dict[str, Any]:
    """Rank for every test user through the bundle's own backend.

    Users are asked for by their shipped rows where the bundle has them all, and the same users folded in from
    their histories are reported under ``folded``; else users are folded in only. ``users`` says which.

    Args:
        path: the bundle; of a model of clicks see :func:`sparsedevice.exporters.evaluate_click_bundle`.
        data: a source with a test part; None for the data that the bundle was trained on.
        k: length of the rankings.
        max_users: evaluate a fixed random choice of this many users; None takes all.

    Raises:
        BundleError: if the bundle is damaged, or its data is no longer what it was trained on.
        DataError: if the data cannot be read or has no test part.
    """
    bundle = Bundle.load(path)
    if bundle.scores_clicks:
        return evaluate_click_bundle(bundle, data=data)
    split = _split(bundle, data)
    recommender = bundle.open()
    shipped = PackedFile.open(bundle.path / PACKED_NAME, verify=False).user_vocabulary
    known = shipped is not None and split.test is not None and _ships_all(shipped.ids, split)
    result = evaluate_recommender(
        recommender, split, k, "shipped" if known else "folded", max_users=max_users
    )
    if known:
        result["folded"] = evaluate_recommender(recommender, split, k, "folded", max_users=max_users)
    return result


def _ships_all(user_ids: Any, split: Split) -> bool:
    shipped = set(user_ids)
    return split.test is not None and all(
        split.test.user_ids.ids[row] in shipped for row in set(split.test.user_index.tolist())
    )


def _split(bundle: Bundle, data: str | Path | None) -> Split:
    recorded = bundle.manifest["data"]
    if "data" not in recorded or "options" not in recorded:
        if data is None:
            raise DataError(f"{bundle.path} does not say what it was trained on; give --data")
        return load_split(data)
    options = DataOptions.from_json(recorded["options"])
    if data is not None:
        return load_split(data, options)
    split = load_split(recorded["data"], options)
    if split.fingerprint() != recorded["fingerprint"]:
        raise BundleError(
            f"{recorded['data']} is no longer what {bundle.path} was trained on (its fingerprint differs);"
            " give the data with --data"
        )
    return split
