"""The knot table: a calibration as the engine evaluates it."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from quickthorn.errors import CalibrationError

Method: TypeAlias = Literal["sigmoid", "isotonic", "temperature", "beta", "prior"]

MOST_KNOTS: Final = 65_536
# Far beyond any forest's sum, and far enough inside float64 that a difference of two margins is finite.
MARGIN_LIMIT: Final = 1e100
_SIZE_LIMIT_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """Margins to probabilities by straight lines between knots: rising, exact at the knots, level beyond the ends.

    ``method``         what the curve was fitted as: "sigmoid", "isotonic", "temperature", "beta", or "prior" where only
                       the sampling rate was corrected for
    ``x``              the knots' margins, rising strictly; 2 to 65,536 of them
    ``y``              the knots' probabilities, never falling, each 0 to 1
    ``sampling_rate``  the share of legitimate events that were kept in the data it was fitted on
    ``error_bound``    how far a line may be from the fitted curve, in probability; 0.0 where the curve is made of lines

    Anything else raises CalibrationError.
    """

    method: Method
    x: tuple[float, ...]
    y: tuple[float, ...]
    sampling_rate: float = 1.0
    error_bound: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= len(self.x) <= MOST_KNOTS or len(self.x) != len(self.y):
            raise CalibrationError(
                f"calibration: expected 2 to {MOST_KNOTS} knots with as many probabilities as margins, "
                f"found {len(self.x)} and {len(self.y)}"
            )
        check_sampling_rate(self.sampling_rate)
        for place, (x, y) in enumerate(zip(self.x, self.y, strict=True)):
            if not abs(x) <= MARGIN_LIMIT or not 0.0 <= y <= 1.0:
                raise CalibrationError(
                    f"calibration: knot {place}: expected a finite margin and a probability from 0 to 1, "
                    f"found {x!r} and {y!r}"
                )
            if place and not (self.x[place - 1] < x and self.y[place - 1] <= y):
                raise CalibrationError(
                    f"calibration: knot {place}: expected a margin above {self.x[place - 1]!r} and a probability of at "
                    f"least {self.y[place - 1]!r}, found {x!r} and {y!r}"
                )

    def score(self, margin: float) -> float:
        """The probability of a margin; NaN for NaN. The native table does the same operations in the same order."""
        if math.isnan(margin):
            return math.nan
        if margin <= self.x[0]:
            return self.y[0]
        if margin >= self.x[-1]:
            return self.y[-1]
        left = bisect_right(self.x, margin) - 1
        share = (margin - self.x[left]) / (self.x[left + 1] - self.x[left])
        return min(self.y[left] + share * (self.y[left + 1] - self.y[left]), self.y[left + 1])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the calibration as a JSON file, which ``quickthorn compile --calibration`` takes."""
        Path(path).write_bytes(msgspec.json.encode(self) + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a file that ``save`` wrote; CalibrationError, opened by the path, where it is none."""
        origin = os.fspath(path)
        try:
            with Path(path).open("rb") as file:
                content = file.read(_SIZE_LIMIT_BYTES + 1)
            if len(content) > _SIZE_LIMIT_BYTES:
                raise CalibrationError(f"{origin}: expected a calibration of at most {_SIZE_LIMIT_BYTES} bytes")
            return msgspec.json.decode(content, type=cls)
        except OSError as error:
            raise CalibrationError(f"{origin}: expected a readable calibration, found: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, CalibrationError) as error:
            raise CalibrationError(f"{origin}: {error}") from error


def check_sampling_rate(rate: object) -> float:
    """The rate as a float; CalibrationError where it is no number above 0 and at most 1."""
    if isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0.0 < rate <= 1.0:
        return float(rate)
    raise CalibrationError(f"sampling_rate: expected a number above 0 and at most 1, found {rate!r}")


def corrected(probability: Any, sampling_rate: float) -> Any:
    """A probability among down-sampled events as one among all of them; also of arrays.

    With a share b of the legitimate events kept, q becomes b·q / (b·q + 1 − q) (Dal Pozzolo, Caelen, Johnson and
    Bontempi, "Calibrating Probability with Undersampling for Unbalanced Classification", 2015).
    """
    kept = sampling_rate * probability
    return kept / (kept + (1.0 - probability))
