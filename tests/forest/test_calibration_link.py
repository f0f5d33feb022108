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


def test_links_have_names() -> None:
    assert all(Link.named(link.value) is link for link in Link)
    with pytest.raises(ModelError, match="got 'probit'"):
        Link.named("probit")


def test_some_links_make_scores_to_decide_by() -> None:
    assert [link.value for link in Link if link.decides] == ["identity", "sigmoid", "exp"]


def test_scores_of_the_other_links() -> None:
    assert [Link.STEP.score(margin) for margin in (-1.0, 0.0, 5e-324)] == [0.0, 0.0, 1.0]
    assert [Link.SIGNED_SQUARE.score(margin) for margin in (-3.0, 0.5)] == [-9.0, 0.25]
    assert Link.LOG1P_EXP.score(0.0) == math.log(2.0)
    assert Link.LOG1P_EXP.score(1e6) == math.inf


def test_scores_of_several_outputs() -> None:
    assert Link.SIGMOID.scores([0.0, math.log(3.0)]) == [0.5, pytest.approx(0.75, rel=1e-15)]
    assert Link.SOFTMAX.scores([math.log(1.0), math.log(2.0), math.log(5.0)]) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert Link.SOFTMAX.scores([1e6, -1e6]) == [1.0, 0.0]
    assert Link.SOFTMAX.scores([7.0]) == [1.0] == [Link.SOFTMAX.score(7.0)]
