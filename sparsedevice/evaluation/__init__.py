"""Full-ranking metrics, and ``evaluate`` for run folders and bundles."""

from sparsedevice.evaluation.evaluate import evaluate, evaluate_recommender, evaluate_run

__all__ = ["evaluate", "evaluate_recommender", "evaluate_run"]
