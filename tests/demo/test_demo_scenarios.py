"""Each fraud scenario leaves the traces it is named for, against the genuine payments of the same stream."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from quickthorn.demo.scenarios import SCENARIO_SHARE, SCENARIOS

MINUTE_US = 60_000_000


def of_scenario(stream: pa.Table, scenario: str) -> pa.Table:
    return stream.filter(pc.equal(stream["scenario"], scenario))


def share(mask: pa.ChunkedArray) -> float:
    return float(pc.mean(pc.cast(mask, pa.float64())).as_py())


def hours(table: pa.Table) -> np.ndarray:
    return (table["at"].cast(pa.int64()).to_numpy() // (60 * MINUTE_US)) % 24


def usual_amounts(stream: pa.Table) -> dict[str, float]:
    genuine = of_scenario(stream, "genuine")
    means = genuine.group_by("customer").aggregate([("amount", "mean")])
    return dict(zip(means["customer"].to_pylist(), means["amount_mean"].to_pylist(), strict=True))


def times_usual(stream: pa.Table, scenario: str) -> np.ndarray:
    usual = usual_amounts(stream)
    rows = of_scenario(stream, scenario)
    pairs = zip(rows["amount"].to_pylist(), rows["customer"].to_pylist(), strict=True)
    return np.array([amount / usual[customer] for amount, customer in pairs if customer in usual])


@pytest.mark.parametrize("code", list(SCENARIO_SHARE))
def test_every_scenario_has_about_its_share_of_the_frauds(stream: pa.Table, code: int) -> None:
    frauds = pc.sum(stream["fraud"]).as_py()
    assert len(of_scenario(stream, SCENARIOS[code])) / frauds == pytest.approx(SCENARIO_SHARE[code], abs=0.10)


def test_shares_of_the_scenarios_add_up_to_one() -> None:
    assert sum(SCENARIO_SHARE.values()) == pytest.approx(1.0)
    assert len(SCENARIO_SHARE) == len(SCENARIOS) - 1


def test_compromised_terminals_are_few_and_run_for_weeks(stream: pa.Table) -> None:
    frauds = of_scenario(stream, "compromised_terminal")
    per_terminal = frauds.group_by("terminal").aggregate([("at", "min"), ("at", "max"), ("at", "count")])
    assert len(per_terminal) < 40
    assert np.median(per_terminal["at_count"].to_numpy()) > 10
    length_us = pc.subtract(per_terminal["at_max"].cast(pa.int64()), per_terminal["at_min"].cast(pa.int64())).to_numpy()
    assert np.median(length_us) > 7 * 24 * 60 * MINUTE_US
    assert share(pc.equal(frauds["entry"], "stripe")) > 0.6
    assert share(pc.equal(of_scenario(stream, "genuine")["entry"], "stripe")) < 0.1


def test_compromised_terminals_copy_cards_of_their_own_customers(stream: pa.Table) -> None:
    genuine = of_scenario(stream, "genuine")
    known = set(zip(genuine["customer"].to_pylist(), genuine["terminal"].to_pylist(), strict=True))
    frauds = of_scenario(stream, "compromised_terminal")
    assert set(zip(frauds["customer"].to_pylist(), frauds["terminal"].to_pylist(), strict=True)) <= known


def test_stolen_cards_pay_more_and_far_from_home(stream: pa.Table) -> None:
    assert np.median(times_usual(stream, "stolen_card")) > 2.0
    frauds = of_scenario(stream, "stolen_card")
    assert np.median(frauds["distance_km"].drop_null().to_numpy()) > 100.0
    assert share(pc.not_equal(frauds["country"], frauds["card_country"])) > 0.4


def test_card_testing_comes_in_bursts_of_tiny_payments_without_the_card(stream: pa.Table) -> None:
    frauds = of_scenario(stream, "card_testing")
    assert pc.max(frauds["amount"]).as_py() <= 250
    assert set(frauds["channel"].unique().to_pylist()) == {"web"}
    # In a burst at one merchant the next payment follows within minutes, save for the last of each burst.
    in_order = frauds.sort_by([("terminal", "ascending"), ("at", "ascending")])
    gap_us = np.diff(in_order["at"].cast(pa.int64()).to_numpy())
    assert np.mean((gap_us >= 0) & (gap_us < 5 * MINUTE_US)) > 0.85


def test_card_testing_hits_one_card_often_or_many_cards_once(stream: pa.Table) -> None:
    per_card = (
        of_scenario(stream, "card_testing").group_by("customer").aggregate([("at", "count")])["at_count"].to_numpy()
    )
    assert np.count_nonzero(per_card >= 8) >= 3
    assert np.count_nonzero(per_card <= 2) >= 20


def test_account_takeovers_are_dear_purchases_at_night_on_new_devices(stream: pa.Table) -> None:
    frauds = of_scenario(stream, "account_takeover")
    assert np.mean(hours(frauds) < 6) > 0.9
    assert share(frauds["device_new"]) > 0.8
    assert share(of_scenario(stream, "genuine")["device_new"]) < 0.03
    assert np.median(times_usual(stream, "account_takeover")) > 4.0
    assert "pos" not in frauds["channel"].unique().to_pylist()
