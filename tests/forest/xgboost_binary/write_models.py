"""Writes the models beside this file, and what the XGBoost that wrote them predicts; run by releases of the past.

pip install 'xgboost==0.90' 'numpy<1.24' 'scipy<1.11' && python write_models.py    # and 1.0.2, 1.7.6, 2.1.4
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost

PARAMETERS = {
    "logistic": {"objective": "binary:logistic", "base_score": 0.93},
    "linear": {"objective": "reg:linear", "base_score": 0.7},
    "logitraw": {"objective": "binary:logitraw"},
    "hinge": {"objective": "binary:hinge"},
    "poisson": {"objective": "count:poisson", "base_score": 1.3},
    "tweedie": {"objective": "reg:tweedie"},
    "softprob": {"objective": "multi:softprob", "num_class": 3},
    "dart": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.6, "base_score": 0.03},
    "forest": {"objective": "rank:pairwise", "num_parallel_tree": 2, "subsample": 0.6},
    "pruned": {"objective": "reg:gamma", "gamma": 2.0, "max_depth": 4, "tree_method": "exact", "eval_metric": "mae"},
    "gblinear": {"objective": "reg:squarederror", "booster": "gblinear"},
}

# Which of them each release writes: together all that the format has had.
KEPT = {
    "0.90": ("logistic", "linear", "logitraw", "hinge", "poisson", "softprob", "dart", "pruned", "gblinear"),
    "1.0.2": ("logistic", "linear", "softprob", "tweedie"),
    "1.7.6": ("logistic", "linear", "forest", "dart", "pruned"),
    "2.1.4": ("logitraw", "hinge", "poisson", "softprob", "dart", "gblinear"),
}


def main() -> None:
    random = np.random.RandomState(7)
    rows = np.round(random.normal(size=(200, 5)), 2).astype(np.float32)
    rows[random.random_sample((200, 5)) < 0.1] = np.nan
    target = np.exp((np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1]) * np.nan_to_num(rows[:, 2])) / 2)
    folder = Path(__file__).parent
    for name in KEPT[xgboost.__version__]:
        parameters = PARAMETERS[name]
        objective = str(parameters["objective"])
        if objective.startswith("multi"):
            label = np.digitize(target, [0.8, 1.5])
        else:
            label = target > 1.1 if objective.startswith(("binary", "rank")) else target
        matrix = xgboost.DMatrix(rows, label=label)
        if objective.startswith("rank"):
            matrix.set_group([20] * 10)
        booster = xgboost.train({"max_depth": 3, "nthread": 1, **parameters}, matrix, 3)
        booster.set_attr(note=f"of {name}")
        # From 2.1 on the ending has to ask for the format.
        path = folder / f"{xgboost.__version__}_{name}.deprecated"
        booster.save_model(str(path))
        path.rename(path.with_suffix(".model"))
        if name != "gblinear":
            seen = xgboost.DMatrix(rows[:60])
            # Asked for all trees, 0.90 drops some of dart's as in training.
            limit = {"ntree_limit": 3} if xgboost.__version__ == "0.90" and name == "dart" else {}
            np.savez_compressed(
                str(path.with_suffix(".npz")),
                rows=rows[:60],
                margins=booster.predict(seen, output_margin=True, **limit),
                leaves=booster.predict(seen, pred_leaf=True),
            )


main()
