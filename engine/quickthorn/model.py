"""``compile_model``: from a trained model to a forest that scores, in one call."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from quickthorn.serving import Forest


def compile_model(
    model: object,
    *,
    target: str | None = None,
    category_codes: bool = False,
    categories: Mapping[str | int, Sequence[str]] | None = None,
    contributions: bool = False,
) -> Forest:
    """Compile a trained model into native code, prove it, and load it.

    ``model``           a file, Booster or fitted estimator of XGBoost, LightGBM, CatBoost or scikit-learn, with one
                        output or several; or a bundle, for the model in it
    ``target``          the one CPU level to compile for; by default all of this machine's kind, so that the forest can
                        be saved for any of them
    ``category_codes``  rows hold the codes of a data frame's categories, 0, 1, 2… in the order of the training frame
    ``categories``      the text that each categorical feature was trained on, by its name (its place where features
                        have no names); only CatBoost needs it, which keeps hashes of them unless its JSON was exported
                        with ``pool=``
    ``contributions``   the forest explains its margins too: ``Forest.contributions``

    The forest is proven before it is handed out: on up to 512 adversarial rows its leaves and the bits of its margins
    equal the source library's, and its scores do to 4e-6; contributions do to 1e-5 of the span of the margins.

    Needs a C++ compiler and the extra ``compile``. Raises ModelError for a model that cannot be read or honoured
    exactly or has no contributions, ToolchainError where there is no usable compiler, and BundleError where the proof
    fails.
    """
    # By name: who only loads what was compiled elsewhere needs nothing of what compiling needs.
    compiling = importlib.import_module("quickthorn.compiling.forest")
    forest: Forest = compiling.compile_forest(
        model,
        target=target,
        category_codes=category_codes,
        categories=categories,
        contributions=contributions,
    )
    return forest
