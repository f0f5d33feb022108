"""The link functions."""

from __future__ import annotations

import math

import pytest

from quickthorn.calibration.link import Link
from quickthorn.errors import ModelError


def test_scores_of_known_margins() -> None:
    assert Link.IDENTITY.score(-2.5) == -2.5
    assert Link.EXP.score(0.0) == 1.0
    assert Link.EXP.score(2.0) == math.exp(2.0)
    assert Link.SIGMOID.score(0.0) == 0.5
    assert Link.SIGMOID.score(math.log(3.0)) == pytest.approx(0.75, rel=1e-15)
    assert Link.SIGMOID.score(math.log(3.0) / 2.0, 2.0) == pytest.approx(0.75, rel=1e-15)


@pytest.mark.parametrize("margin", [-1e6, -746.0, -745.0, 745.0, 1e6])
def test_far_margins_saturate_and_never_raise(margin: float) -> None:
    assert 0.0 <= Link.SIGMOID.score(margin) <= 1.0
    assert Link.EXP.score(margin) >= 0.0
    assert Link.SIGMOID.score(-1e6) == 0.0
    assert Link.EXP.score(1e6) == math.inf


def test_links_have_names_and_codes() -> None:
    assert [Link.named(name).code for name in ("identity", "sigmoid", "exp")] == [0, 1, 2]
    with pytest.raises(ModelError, match="got 'softmax'"):
        Link.named("softmax")
