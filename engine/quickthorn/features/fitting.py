"""Fitting encodings without looking ahead.

Every function gives two things: the encoding as it stands at the end, which a bundle serves, and the codes that the
training rows would have had at their own time, each from the rows and labels before it and nothing later. A model is
trained on the second: on the first, every row's code would hold the row's own label.

Rows are in the order they arrived; at equal times the earlier row counts as past. ``values`` are str, int (their
decimal digits) or missing (None, NaN); ``at`` is int microseconds UTC or a datetime64. Lists, NumPy arrays, pandas and
Arrow columns do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from quickthorn.errors import FeatureError
from quickthorn.features.built_in import check_number, check_whole
from quickthorn.features.durations import duration_us
from quickthorn.features.encodings import Encoding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SMOOTHING = 20.0


def fit_ordinal(values: Any, at: Any, *, least_rows: int = 1) -> tuple[Encoding, npt.NDArray[np.float64]]:
    """Codes 0, 1, 2 … in the order in which values were first seen ``least_rows`` times; the rest are unknown, −1.

    A missing value has no code and stays missing. Returns the encoding and float64 (n,): each row's code at its time.
    """
    least = check_whole("fit_ordinal(least_rows=)", least_rows, 1, 2**62)
    texts, order, as_of = _rows("fit_ordinal", values, at)
    seen: dict[str, int] = {}
    codes: dict[str, float] = {}
    for row in order:
        text = texts[row]
        if text is None:
            continue
        as_of[row] = codes.get(text, -1.0)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == least:
            codes[text] = float(len(codes))
    return Encoding("ordinal", codes, unknown=-1.0), as_of


def fit_frequency(values: Any, at: Any) -> tuple[Encoding, npt.NDArray[np.float64]]:
    """How often a value occurs, as its share of all rows; 0 for an unknown one. A missing value is one of its own.

    Returns the encoding and float64 (n,): each row's share among the rows before it, missing for the very first.
    """
    texts, order, as_of = _rows("fit_frequency", values, at)
    seen: dict[str | None, int] = {}
    for past, row in enumerate(order):
        if past:
            as_of[row] = seen.get(texts[row], 0) / past
        seen[texts[row]] = seen.get(texts[row], 0) + 1
    shares = {text: count / len(texts) for text, count in seen.items()}
    missing = shares.pop(None, 0.0)
    return Encoding("frequency", _known(shares), unknown=0.0, missing=missing), as_of


def fit_target_mean(
    values: Any,
    fraud: Any,
    at: Any,
    *,
    label_delay: str | timedelta = "0s",
    available_at: Any = None,
    until: int | None = None,
    smoothing: float = SMOOTHING,
) -> tuple[Encoding, npt.NDArray[np.float64]]:
    """The share of fraud among a value's rows, drawn towards the share among all of them (Micci-Barreca 2001):
    ``(fraud of the value + smoothing × share of all) / (rows of the value + smoothing)``.

    ``fraud``         1, 0 or missing: a row whose label never came
    ``label_delay``   how long after its row a label is known: "7d" for what chargebacks take
    ``available_at``  when each label is known, instead of a fixed delay; as ``at``, never before it
    ``until``         labels known by then, int microseconds UTC, make the encoding; by default all of them
    ``smoothing``     how many rows of average risk each value is given

    An unknown value has the share of all; a missing one is a value of its own. Returns the encoding and float64 (n,):
    each row's code from the labels known at its time, missing while there are none.
    """
    labels = _Labels("fit_target_mean", values, fraud, at, label_delay, available_at)
    weight = check_number("fit_target_mean(smoothing=)", smoothing, 0.0, 1e300)

    def code(rows: int, frauds: int, all_rows: int, all_frauds: int) -> float:
        if not all_rows:
            return math.nan
        share = all_frauds / all_rows
        return (frauds + weight * share) / (rows + weight) if rows + weight else share

    return labels.fitted("target_mean", code, until)


def fit_weight_of_evidence(
    values: Any,
    fraud: Any,
    at: Any,
    *,
    label_delay: str | timedelta = "0s",
    available_at: Any = None,
    until: int | None = None,
    smoothing: float = SMOOTHING,
) -> tuple[Encoding, npt.NDArray[np.float64]]:
    """The logarithm of how much likelier fraud is to show the value than the rest: log(P(value | fraud) / P(value | no
    fraud)), each value given ``smoothing`` rows of average risk first (Good 1950; Siddiqi 2006).

    That is the log odds of the target mean less the log odds of all rows, so an unknown value has 0. Missing while
    there is no fraud, or nothing but fraud. Arguments and what is returned are as for ``fit_target_mean``, with a
    ``smoothing`` above 0.
    """
    labels = _Labels("fit_weight_of_evidence", values, fraud, at, label_delay, available_at)
    weight = check_number("fit_weight_of_evidence(smoothing=)", smoothing, 1e-9, 1e300)

    def code(rows: int, frauds: int, all_rows: int, all_frauds: int) -> float:
        if not 0 < all_frauds < all_rows:
            return math.nan
        share = all_frauds / all_rows
        odds = (frauds + weight * share) / (rows - frauds + weight * (1.0 - share))
        return math.log(odds * (1.0 - share) / share) if rows else 0.0

    return labels.fitted("weight_of_evidence", code, until)


class _Labels:
    """Rows with labels that become known after them."""

    def __init__(self, where: str, values: Any, fraud: Any, at: Any, label_delay: Any, available_at: Any) -> None:
        import numpy as np

        self.where = where
        self.texts, self.order, self.as_of = _rows(where, values, at)
        self.at = _times(f"{where}(at=)", at)
        self.fraud = _labels(f"{where}(fraud=)", fraud, len(self.texts))
        if available_at is None:
            self.available = self.at + duration_us(label_delay, f"{where}(label_delay=)")
        else:
            self.available = _times(f"{where}(available_at=)", available_at)
            _check_length(f"{where}(available_at=)", len(self.available), len(self.texts))
            if early := np.flatnonzero(self.available < self.at).tolist():
                raise FeatureError(
                    f"{where}(available_at=): expected no label known before its event, found one in row {early[0]}"
                )

    def fitted(
        self, kind: str, code: Callable[[int, int, int, int], float], until: int | None
    ) -> tuple[Encoding, npt.NDArray[np.float64]]:
        """``code`` of a value's rows and frauds and of all rows and frauds, for every row and for every value."""
        import numpy as np

        place = np.empty(len(self.texts), np.int64)  # in the total order of time and arrival
        place[self.order] = np.arange(len(self.texts))
        labelled = np.flatnonzero(~np.isnan(self.fraud))
        coming = labelled[np.lexsort((place[labelled], self.available[labelled]))].tolist()
        known = _Counts()
        arrived = 0
        for row in self.order:
            while arrived < len(coming):
                label = coming[arrived]
                # A label known at the very time of an event that arrived no later says nothing about the past.
                if self.available[label] > self.at[row] or place[label] >= place[row]:
                    break
                known.add(self.texts[label], self.fraud[label])
                arrived += 1
            self.as_of[row] = code(*known.of(self.texts[row]))
        known = _Counts()
        for label in coming:
            if until is None or self.available[label] <= until:
                known.add(self.texts[label], self.fraud[label])
        unknown = code(0, 0, known.rows, known.frauds)
        if math.isnan(unknown):
            raise FeatureError(
                f"{self.where}: expected labels of fraud and of none by the end, found {known.frauds} frauds in "
                f"{known.rows} labels"
            )
        codes = {text: code(*known.of(text)) for text in known.by_value if text is not None}
        return Encoding(kind, codes, unknown=unknown, missing=code(*known.of(None))), self.as_of


class _Counts:
    """How many labelled rows and frauds there are, for each value and in all."""

    def __init__(self) -> None:
        self.by_value: dict[str | None, list[int]] = {}
        self.rows = self.frauds = 0

    def add(self, text: str | None, fraud: float) -> None:
        counts = self.by_value.setdefault(text, [0, 0])
        counts[0] += 1
        counts[1] += int(fraud)
        self.rows += 1
        self.frauds += int(fraud)

    def of(self, text: str | None) -> tuple[int, int, int, int]:
        rows, frauds = self.by_value.get(text, (0, 0))
        return rows, frauds, self.rows, self.frauds


def _rows(where: str, values: Any, at: Any) -> tuple[list[str | None], list[int], npt.NDArray[np.float64]]:
    """The values as texts, the rows in order of (time, arrival), and an array for their codes, all missing so far."""
    import numpy as np

    listed = values.to_pylist() if hasattr(values, "to_pylist") else getattr(values, "tolist", lambda: list(values))()
    texts = [_text(where, row, value) for row, value in enumerate(listed)]
    if not texts:
        raise FeatureError(f"{where}(values=): expected at least one row, found none")
    times = _times(f"{where}(at=)", at)
    _check_length(f"{where}(at=)", len(times), len(texts))
    return texts, np.argsort(times, kind="stable").tolist(), np.full(len(texts), math.nan)


def _text(where: str, row: int, value: object) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise FeatureError(f"{where}(values=): row {row}: expected a str, an int or nothing, found {value!r}")


def _times(where: str, times: Any) -> npt.NDArray[np.int64]:
    import numpy as np

    array = np.asarray(times)
    if array.dtype == object:  # pandas gives Timestamps where the times have a zone
        array = np.array([getattr(time, "to_datetime64", lambda time=time: time)() for time in array])
    if array.dtype.kind == "M" and not np.isnat(array).any():
        array = array.astype("datetime64[us]").astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise FeatureError(f"{where}: expected int microseconds UTC or datetime64, found {array.dtype}")
    return array.astype(np.int64)


def _labels(where: str, fraud: Any, rows: int) -> npt.NDArray[np.float64]:
    import numpy as np

    try:
        array = np.asarray(fraud.to_pylist() if hasattr(fraud, "to_pylist") else fraud, np.float64)
    except (TypeError, ValueError):
        raise FeatureError(f"{where}: expected 1, 0 or nothing in each row, found {fraud!r:.80}") from None
    _check_length(where, len(array), rows)
    if strange := array[~np.isnan(array) & (array != 0.0) & (array != 1.0)].tolist():
        raise FeatureError(f"{where}: expected 1, 0 or nothing in each row, found {strange[0]!r}")
    return array


def _check_length(where: str, found: int, expected: int) -> None:
    if found != expected:
        raise FeatureError(f"{where}: expected {expected} rows as in values, found {found}")


def _known(codes: dict[str | None, float]) -> dict[str, float]:
    return {text: code for text, code in codes.items() if text is not None}
