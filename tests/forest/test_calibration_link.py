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
    assert all(Link.named(link.value) is link for link in Link)
    with pytest.raises(ModelError, match="got 'probit'"):
        Link.named("probit")


@pytest.mark.parametrize("link", [link for link in Link if not link.native])
def test_a_link_that_native_code_lacks_has_no_code(link: Link) -> None:
    with pytest.raises(ModelError, match=f"the link '{link.value}' makes no score"):
        _ = link.code


def test_scores_of_the_links_with_no_code() -> None:
    assert [Link.STEP.score(margin) for margin in (-1.0, 0.0, 5e-324)] == [0.0, 0.0, 1.0]
    assert [Link.SIGNED_SQUARE.score(margin) for margin in (-3.0, 0.5)] == [-9.0, 0.25]
    assert Link.LOG1P_EXP.score(0.0) == math.log(2.0)
    assert Link.LOG1P_EXP.score(1e6) == math.inf


def test_scores_of_several_outputs() -> None:
    assert Link.SIGMOID.scores([0.0, math.log(3.0)]) == [0.5, pytest.approx(0.75, rel=1e-15)]
    assert Link.SOFTMAX.scores([math.log(1.0), math.log(2.0), math.log(5.0)]) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert Link.SOFTMAX.scores([1e6, -1e6]) == [1.0, 0.0]
    assert Link.SOFTMAX.scores([7.0]) == [1.0] == [Link.SOFTMAX.score(7.0)]
