"""Recommending through the ExecuTorch runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime
from numpy.typing import NDArray

from sparsedevice.errors import BundleError
from sparsedevice.packing import PackedFile, Steps

from ..row_recommender import RowRecommender, Rows
from .methods import FOLD_ROWS


class ExecutorchRecommender(RowRecommender):
    """Folds in, scores and ranks with the program's methods; ids and titles come from the packed file.

    Attributes:
        padded: rows of the program's table, of which the last stand for none.
    """

    def __init__(self, packed: PackedFile, model: str | Path, data: str | Path | None = None) -> None:
        """Load a program.

        Args:
            packed: the packed file that it was made of.
            model: the program.
            data: the file with its tables, where it was written with ``external``.

        Raises:
            BundleError: if the runtime does not accept it.
        """
        super().__init__(packed)
        try:
            self._program = Runtime.get().load_program(Path(model), data_path=data)
            self._methods = {name: self._program.load_method(name) for name in self._program.method_names}
            self.padded = self._methods["top"].metadata.input_tensor_meta(1).sizes()[0]
        except Exception as error:
            reason = str(error).splitlines()[0]
            place = model if data is None else f"{model} with {data}"
            raise BundleError(
                f"ExecuTorch does not accept {place}: {reason}; export the run again"
            ) from error

    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """See :meth:`RowRecommender.top_rows`."""
        if like >= 0 and self.packed.network is not None:  # whose queries are users, not items
            query = self.fold_in(np.array([like]))
        elif like >= 0:
            query = self._sum(np.array([like]), weighted=False)
        elif user >= 0:
            query = self._run("user", torch.tensor([user]))[0]
        else:
            query = self.fold_in(np.unique(history))
        n = self.packed.n_items
        eligible = np.zeros(self.padded, bool)
        eligible[:n] = candidates is None
        if candidates is not None:
            eligible[candidates] = True
        eligible[excluded] = False
        return self.best_rows(query, eligible, k)

    def best_rows(
        self, query: torch.Tensor, eligible: NDArray[np.bool_], k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The k best eligible rows and their scores.

        Args:
            query: float64[dim], of :meth:`fold_in`.
            eligible: bool[padded]; rows that were found are taken out of it.
            k: how many.
        """
        found_rows, found_scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        left = min(k, int(eligible.sum()))
        while left:
            rows, scores = (
                output.numpy() for output in self._run("top", query, torch.from_numpy(eligible.copy()))
            )
            found_rows.append(rows[:left].copy())
            found_scores.append(scores[:left].copy())
            left -= len(found_rows[-1])
            eligible[found_rows[-1]] = False
            left = min(left, int(eligible.sum())) if left else 0
        return np.concatenate(found_rows), np.concatenate(found_scores)

    def fold_in(self, history: Rows) -> torch.Tensor:
        """The query of a history: increasing rows, each once."""
        total = query = self._sum(history)
        rule = self.packed.fold_in
        if "matrix" in self._methods:
            query = self._run("matrix", total)[0].clone()
        if "tower" in self._methods:
            query = self._run("tower", query)[0].clone()
        if not isinstance(rule.rule, Steps):
            return query
        mass = len(history) if rule.weights is None else float(rule.weights[history].sum(dtype=np.float64))
        norm = float(query.norm())
        if not (mass > 0 and norm > 0):
            return query
        query, mean = query / norm, total / mass
        for step in range(rule.rule.count):
            sample = rule.rule.sample(step, self.packed.n_items)
            others = torch.from_numpy(np.where(np.isin(sample, history), -1, sample))
            length = rule.rule.step_length(step)
            pull = torch.tensor([-length * float(np.float32(rule.rule.pull))], dtype=torch.float64)
            query = self._run("step", query, query + length * mean, others, pull)[0].clone()
        return query

    def _sum(self, rows: Rows, *, weighted: bool = True) -> torch.Tensor:
        always = self.packed.fold_in.weights is None or self.packed.network is not None
        how = () if always else (torch.tensor([weighted]),)
        total = torch.zeros(self.packed.dim, dtype=torch.float64)
        for start in range(0, len(rows), FOLD_ROWS):
            chunk = torch.full((FOLD_ROWS,), -1)
            part = rows[start : start + FOLD_ROWS]
            chunk[: len(part)] = torch.from_numpy(part)
            total = self._run("fold", total, chunk, *how)[0].clone()
        return total

    def _run(self, method: str, *inputs: torch.Tensor) -> list[torch.Tensor]:
        outputs: list[torch.Tensor] = self._methods[method].execute(inputs)
        return outputs
