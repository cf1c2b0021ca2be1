"""New interactions beside the ones that a run was trained on: joined vocabularies, and what is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.data import DataOptions, Interactions, Split, read_interactions
from sparsedevice.data.log import Log
from sparsedevice.data.splits import make_split
from sparsedevice.errors import DataError
from sparsedevice.vocabulary import Vocabulary


def new_split(old: Split, data: str | Path | Split, options: DataOptions) -> Split:
    """What is new in ``data``, split by ``options``; pairs that the old split knows are left out.

    Raises:
        DataError: if nothing is new, or the new part cannot be split.
    """
    if isinstance(data, Split):
        return data
    log = read_interactions(data, options)
    unknown = ~known_pairs(old, log)
    if not unknown.any():
        raise DataError(f"{data} holds nothing that the run does not know; give a log with new interactions")
    return make_split(Log(log.select(unknown).compact(), None, (str(data),)), options)


def known_pairs(old: Split, log: Interactions) -> NDArray[np.bool_]:
    """Which interactions of ``log`` are of a user and an item that some part of ``old`` holds, bool[n]."""
    users = old.train.user_ids.rows(log.user_ids.ids)[log.user_index].astype(np.int64)
    items = old.train.item_ids.rows(log.item_ids.ids)[log.item_index].astype(np.int64)
    n_items = old.train.n_items
    parts = [part for part in (old.train, old.validation, old.test) if part is not None]
    pairs = np.concatenate([part.user_index.astype(np.int64) * n_items + part.item_index for part in parts])
    known: NDArray[np.bool_] = (users >= 0) & (items >= 0) & np.isin(users * n_items + items, pairs)
    return known


def joined_split(old: Split, new: Split) -> Split:
    """Both over one vocabulary, the old rows first.

    Train is the old train and validation and the new train; validation is the new one; test is both.
    """
    users = _joined(old.train.user_ids, new.train.user_ids)
    items = _joined(old.train.item_ids, new.train.item_ids)
    titles = _titles(old.train, new.train, items)

    def together(*parts: Interactions | None) -> Interactions | None:
        given = [part for part in parts if part is not None and len(part)]
        if not given:
            return None
        user = np.concatenate([users.rows(part.user_ids.ids)[part.user_index] for part in given])
        item = np.concatenate([items.rows(part.item_ids.ids)[part.item_index] for part in given])
        rating = [part.rating for part in given if part.rating is not None]
        time = [part.timestamp for part in given if part.timestamp is not None]
        return Interactions(
            user,
            item,
            users,
            items,
            np.concatenate(rating) if len(rating) == len(given) else None,
            np.concatenate(time) if len(time) == len(given) else None,
            titles,
        )

    train = together(old.train, old.validation, new.train)
    assert train is not None
    rule = f"old: {old.rule}; new: {new.rule}; old validation joins train"
    test = together(old.test, new.test)
    return Split(train, together(new.validation), test, rule, new.warnings)


def over(joined: Split, part: Interactions | None) -> Interactions | None:
    """An old or new part over the joined vocabularies."""
    if part is None or not len(part):
        return None
    train = joined.train
    return Interactions(
        train.user_ids.rows(part.user_ids.ids)[part.user_index],
        train.item_ids.rows(part.item_ids.ids)[part.item_index],
        train.user_ids,
        train.item_ids,
        None,
        None,
        train.titles,
    )


def grown(table: scipy.sparse.csr_array, n_rows: int) -> scipy.sparse.csr_array:
    """The table with empty rows at its end, csr_array (n_rows x dim)."""
    more = np.full(n_rows - table.shape[0], table.indptr[-1], table.indptr.dtype)
    return scipy.sparse.csr_array(
        (table.data, table.indices, np.concatenate([table.indptr, more])), shape=(n_rows, table.shape[1])
    )


def _joined(old: Vocabulary, new: Vocabulary) -> Vocabulary:
    unknown = old.rows(new.ids) < 0
    return Vocabulary([*old.ids, *(id_ for id_, is_new in zip(new.ids, unknown, strict=True) if is_new)])


def _titles(old: Interactions, new: Interactions, items: Vocabulary) -> list[str] | None:
    if old.titles is None and new.titles is None:
        return None
    titles = dict(zip(new.item_ids.ids, new.titles, strict=True)) if new.titles is not None else {}
    if old.titles is not None:
        known = zip(old.item_ids.ids, old.titles, strict=True)
        titles.update((id_, title) for id_, title in known if title or id_ not in titles)
    return [titles.get(id_, "") for id_ in items.ids]
