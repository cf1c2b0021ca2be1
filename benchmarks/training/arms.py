"""Popularity and random recommendations on a data set's test part: what any model must beat.

python benchmarks/training/arms.py DATA
"""

from __future__ import annotations

import argparse
import json

from sparsedevice.data import DataOptions, load_split
from sparsedevice.evaluation.arms import popularity_arm, random_arm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    split = load_split(parser.parse_args().data, DataOptions())
    for arm in (popularity_arm(split), random_arm(split)):
        print(json.dumps(arm))


if __name__ == "__main__":
    main()
