"""The engine on real transactions: the Fraud Detection Handbook's stream, its published features and its benchmark."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.metrics import average_precision_score, roc_auc_score

import quickthorn as qt
from quickthorn.compiling import compile_bundle
from quickthorn.decision import Policy
from quickthorn.replay import replay

DATA = Path(__file__).parents[3] / "shared" / "data"
TRANSACTIONS = DATA / "handbook_transactions.parquet"
EXPECTED = DATA / "handbook_expected_features.parquet"
pytestmark = pytest.mark.skipif(
    not (TRANSACTIONS.exists() and EXPECTED.exists()), reason=f"the handbook's transactions are not in {DATA}"
)

DAY_US = 86_400_000_000
FIRST_DAY = datetime.date(2018, 4, 1)
FIRST_DAY_US = 1_522_540_800_000_000
# The source sorted unstably: these ten same-second pairs of one customer are reversed in its features.
REVERSED_IDS = (
    *(163831, 163832, 1653669, 1653670, 1553976, 1553977, 121453, 121454, 619758, 619759, 1240489, 1240490),
    *(174806, 174807, 1633924, 1633926, 1350833, 1350834, 1472490, 1472491),
)


class Transaction(qt.Event):
    event_id: qt.Id
    ts: qt.EventTime
    customer_id: qt.Entity
    terminal_id: qt.Entity
    amount_cents: qt.Money = qt.field(minor_units=True)


@qt.kernel
def weekend(at):
    return (at // 86_400_000_000 + 3) % 7 >= 5


@qt.kernel
def night(at):
    return at // 3_600_000_000 % 24 <= 6


@qt.kernel
def zero_if_missing(value):
    return 0.0 if math.isnan(value) else value


def handbook_features() -> qt.FeatureSet:
    features = qt.FeatureSet(Transaction)
    features["amount"] = Transaction.amount_cents
    features["tx_during_weekend"] = weekend(Transaction.ts)
    features["tx_during_night"] = night(Transaction.ts)
    for days in (1, 7, 30):
        own = {"by": Transaction.customer_id, "over": f"{days}d", "include_current": True}
        features[f"customer_id_nb_tx_{days}day_window"] = qt.count(**own)
        features[f"customer_id_avg_amount_{days}day_window"] = qt.mean(Transaction.amount_cents, **own)
    for days in (1, 7, 30):
        delayed = {"by": Transaction.terminal_id, "over": f"{days}d", "delay": "7d"}
        features[f"terminal_id_nb_tx_{days}day_window"] = qt.count(**delayed)
        features[f"terminal_id_risk_{days}day_window"] = zero_if_missing(qt.fraud_rate(**delayed))
        features[f"terminal_id_frauds_{days}day_window"] = qt.fraud_count(**delayed)
    return features


@pytest.fixture(scope="module")
def transactions() -> pa.Table:
    return pq.read_table(TRANSACTIONS)


@pytest.fixture(scope="module")
def labels(transactions: pa.Table) -> pa.Table:
    """What is known of every transaction, fraud or not, when it is seven days old."""
    available_at = pc.add(transactions["ts"], datetime.timedelta(days=7))
    fraud = transactions["fraud"].cast("bool")
    return pa.table({"event_id": transactions["event_id"], "fraud": fraud, "available_at": available_at})


@pytest.fixture(scope="module")
def replayed(transactions: pa.Table, labels: pa.Table) -> pa.Table:
    return replay(handbook_features(), transactions, labels=labels)


@pytest.fixture(scope="module")
def expected() -> pa.Table:
    return pq.read_table(EXPECTED)


def test_every_event_of_the_stream_is_in_order(replayed: pa.Table) -> None:
    assert replayed["status"].combine_chunks().dictionary_decode().unique().to_pylist() == ["ok"]


@pytest.mark.parametrize("days", [1, 7, 30])
def test_customer_windows_equal_the_published_features(replayed: pa.Table, expected: pa.Table, days: int) -> None:
    replayed = replayed.slice(0, expected.num_rows)
    assert replayed["event_id"].equals(expected["event_id"])
    judged = ~np.isin(expected["event_id"].to_numpy(), REVERSED_IDS)
    count, mean = f"customer_id_nb_tx_{days}day_window", f"customer_id_avg_amount_{days}day_window"
    np.testing.assert_array_equal(column(replayed, count)[judged], column(expected, count)[judged])
    # The source's rolling sums leave a residue; ours are exact.
    np.testing.assert_allclose(column(replayed, mean)[judged], column(expected, mean)[judged], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [f"terminal_id_{kind}_{days}day_window" for kind in ("nb_tx", "risk") for days in (1, 7, 30)]
    + ["tx_during_weekend", "tx_during_night"],
)
def test_delayed_terminal_windows_and_calendar_equal_the_published_features(
    replayed: pa.Table, expected: pa.Table, name: str
) -> None:
    np.testing.assert_array_equal(column(replayed.slice(0, expected.num_rows), name), column(expected, name))


@pytest.mark.parametrize("days", [1, 7, 30])
def test_fraud_counts_are_what_the_published_risks_are_made_of(
    replayed: pa.Table, expected: pa.Table, days: int
) -> None:
    frauds = column(replayed.slice(0, expected.num_rows), f"terminal_id_frauds_{days}day_window")
    count, risk = (column(expected, f"terminal_id_{kind}_{days}day_window") for kind in ("nb_tx", "risk"))
    np.testing.assert_array_equal(frauds, np.rint(risk * count))


def test_published_xgboost_figures_are_reached_natively(
    transactions: pa.Table, labels: pa.Table, replayed: pa.Table, tmp_path: Path
) -> None:
    features = handbook_features()
    split = BenchmarkSplit(transactions)
    assert (split.train.sum(), split.fraud[split.train].sum()) == (67_240, 598)
    assert (split.test.sum(), split.fraud[split.test].sum()) == (58_264, 385)
    vectors = np.column_stack([column(replayed, name) for name in features.names])
    # The book's own features are fourteen.
    vectors[:, [place for place, name in enumerate(features.names) if "frauds" in name]] = 0.0
    model = xgboost.XGBClassifier(tree_method="exact", base_score=0.5, random_state=0, n_jobs=2)
    model.fit(vectors[split.train], split.fraud[split.train])
    compile_bundle(
        features=features,
        model=model,
        policy=Policy.with_thresholds(review=0.5, decline=0.9, invalid="review"),
        output=tmp_path / "handbook.qt",
    )

    engine = qt.Engine.load(tmp_path / "handbook.qt", allow_unsigned=True)
    days = [np.flatnonzero(split.day == day) for day in range(split.day.max() + 1)]
    decided = []
    for rows in days:
        decided.append(engine.decide_batch(transactions.slice(rows[0], len(rows))))
        # Told the same night, days before they may be looked at.
        assert engine.label_batch(labels.slice(rows[0], len(rows))) == ()

    theirs = model.predict(vectors, output_margin=True).astype(np.float64)
    np.testing.assert_allclose(np.concatenate([day.margins for day in decided]), theirs, rtol=1e-6, atol=0)
    scores = np.concatenate([day.scores for day in decided])[split.test]
    fraud = split.fraud[split.test]
    assert roc_auc_score(fraud, scores) == pytest.approx(0.862, abs=0.002)
    assert average_precision_score(fraud, scores) == pytest.approx(0.639, abs=0.002)
    assert split.card_precision(scores, most=100) == pytest.approx(0.273, abs=0.002)


class BenchmarkSplit:
    """Train 2018-07-25 to 07-31, test 08-08 to 08-14 without customers whose fraud was known by then."""

    def __init__(self, transactions: pa.Table) -> None:
        self.day = (transactions["ts"].cast("int64").to_numpy() - FIRST_DAY_US) // DAY_US
        self.fraud = transactions["fraud"].to_numpy()
        self.customer = transactions["customer_id"].to_numpy()
        first_train = (datetime.date(2018, 7, 25) - FIRST_DAY).days
        self.train = (self.day >= first_train) & (self.day < first_train + 7)
        self.test_days = range(first_train + 14, first_train + 21)
        self.test = np.zeros(len(self.day), dtype=bool)
        for day in self.test_days:
            known = (self.fraud == 1) & (self.day >= first_train) & (self.day < day - 7)
            self.test |= (self.day == day) & ~np.isin(self.customer, self.customer[known])

    def card_precision(self, scores: npt.NDArray[np.float64], most: int) -> float:
        """The mean over test days of the share of compromised cards among the ``most`` with the highest scores.

        A card that was found on one day is taken out of the days after it.
        """
        day, fraud, customer = (of[self.test] for of in (self.day, self.fraud, self.customer))
        found: set[int] = set()
        precisions = []
        for test_day in self.test_days:
            here = np.flatnonzero((day == test_day) & ~np.isin(customer, list(found)))
            best: dict[int, float] = {}
            compromised: set[int] = set()
            for row in here:
                card = int(customer[row])
                best[card] = max(best.get(card, -1.0), float(scores[row]))
                if fraud[row]:
                    compromised.add(card)
            alerted = sorted(best, key=best.__getitem__, reverse=True)[:most]
            hits = compromised.intersection(alerted)
            found |= hits
            precisions.append(len(hits) / most)
        return float(np.mean(precisions))


def column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = table[name].to_numpy().astype(np.float64)
    return values
