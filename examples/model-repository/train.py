"""Payments in, a trained model out: build/model.ubj, and in build/holdout.parquet what it has not seen, with labels.

A simulated stream stands for your log of payments. The same seed gives the same model.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import xgboost

from features import Payment, features
from quickthorn.demo.stream import simulate
from quickthorn.replay import replay

BUILD = Path("build")
TREES = 25
HOLDOUT_SHARE = 0.3


def main() -> None:
    """Train and write both files."""
    BUILD.mkdir(exist_ok=True)
    payments = simulate(days=45, customers=200, terminals=40, seed=3)
    # What was known of each payment at its own time, by the code that will decide.
    known = replay(features, payments).select(list(features.names)).to_pandas()
    fraud = payments["fraud"].to_numpy()
    first_unseen = int(len(fraud) * (1 - HOLDOUT_SHARE))
    data = xgboost.DMatrix(known[:first_unseen], label=fraud[:first_unseen])
    parameters = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "seed": 1, "nthread": 1}
    xgboost.train(parameters, data, num_boost_round=TREES).save_model(BUILD / "model.ubj")
    fields = [field.name for field in Payment.schema.fields]
    pyarrow.parquet.write_table(payments.select([*fields, "fraud"]).slice(first_unseen), BUILD / "holdout.parquet")
    print(f"trained on {first_unseen:,} payments, {len(fraud) - first_unseen:,} left to judge by")


if __name__ == "__main__":
    main()
