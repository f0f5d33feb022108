"""The policy: which score leads to which outcome, read from a TOML file that people review.

    [thresholds]
    review = 0.30       # scores from here on go to a person
    decline = 0.80      # scores from here on are declined

    [fallback]
    invalid = "review"  # what happens to an event that cannot be scored

Both tables and all three keys are required, and nothing else is allowed.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from quickthorn.calibration.link import Link
from quickthorn.decision.outcome import OUTCOMES, Outcome
from quickthorn.errors import PolicyError

_TABLES: Final[dict[str, tuple[str, ...]]] = {"thresholds": ("review", "decline"), "fallback": ("invalid",)}
_SCORE_RANGES: Final = {
    Link.SIGMOID: (0.0, 1.0, "0 to 1"),
    Link.EXP: (0.0, math.inf, "0 or more"),
    Link.IDENTITY: (-math.inf, math.inf, "any number"),
    Link.STEP: (0.0, 1.0, "0 to 1"),
    Link.SOFTMAX: (0.0, 1.0, "0 to 1"),
    Link.SIGNED_SQUARE: (-math.inf, math.inf, "any number"),
    Link.LOG1P_EXP: (0.0, math.inf, "0 or more"),
}
# A policy is a few lines written by hand; a file past this is something else given by mistake.
_SIZE_LIMIT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """Two thresholds on the score and the outcome of what has no score.

    ``review``    scores from here on, and below ``decline``, go to review
    ``decline``   scores from here on are declined; never below ``review``
    ``fallback``  the outcome of an event that cannot be scored
    ``origin``    where the policy was read from; it opens error messages and takes no part in equality

    Thresholds that are not finite numbers or not in order, and a fallback that is no outcome, raise PolicyError.
    Whether the thresholds fit the range of a model's scores is a separate question: see ``check``.
    """

    review: float
    decline: float
    fallback: Outcome
    origin: str = field(default="policy", repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in _TABLES["thresholds"]:
            # A whole number in the file, such as `decline = 1`, is held as the float it stands for.
            number = _finite(getattr(self, name), f"{self.origin}: thresholds.{name}")
            object.__setattr__(self, name, number)
        if self.fallback not in OUTCOMES:
            raise PolicyError(
                f"{self.origin}: fallback.invalid: expected {_listed(OUTCOMES)}, found {_shown(self.fallback)}"
            )
        if self.review > self.decline:
            raise PolicyError(
                f"{self.origin}: thresholds.review: expected at most thresholds.decline ({self.decline!r}), "
                f"found {self.review!r}"
            )

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str], *, origin: str | None = None) -> Policy:
        """Read a policy from a file, or from its text.

        A string with a line break in it is the text itself (no policy fits on one line); any other string is a path.
        ``origin`` is what error messages call the source: by default the path, or ``policy`` for a text. What cannot
        be read, is not TOML or is not a policy raises PolicyError naming source, key, found and expected.
        """
        if isinstance(source, str) and ("\n" in source or "\r" in source):
            return cls._from_text(source, origin or "policy")
        return cls._from_text(_read(source, origin or os.fspath(source)), origin or os.fspath(source))

    @classmethod
    def _from_text(cls, text: str, origin: str) -> Policy:
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # also numbers and nesting beyond what the parser bears
            last_line = len(text.splitlines())
            message = str(error).replace("at end of document", f"at the end of the document, line {last_line}")
            raise PolicyError(f"{origin}: expected TOML, found a syntax error: {message}") from error
        _refuse_unknown(document, tuple(_TABLES), origin, "")
        thresholds, fallback = (_table(document, name, origin) for name in _TABLES)
        return cls(thresholds["review"], thresholds["decline"], fallback["invalid"], origin)

    def as_toml(self) -> str:
        """The policy as the text of a policy file; what ``from_toml`` reads from it is equal to this policy."""
        return (
            f"[thresholds]\nreview = {self.review!r}\ndecline = {self.decline!r}\n\n"
            f'[fallback]\ninvalid = "{self.fallback}"\n'
        )

    def check(self, link: Link) -> None:
        """Raise PolicyError where a threshold lies outside the range of scores that ``link`` gives.

        A sigmoid's scores are 0 to 1 and an exponential's are not negative: a threshold outside would be reached by
        all events or by none. An identity's score is the margin itself, and any finite threshold can be meant.
        """
        least, most, expected = _SCORE_RANGES[link]
        for name, threshold in (("review", self.review), ("decline", self.decline)):
            if not least <= threshold <= most:
                raise PolicyError(
                    f"{self.origin}: thresholds.{name}: expected {expected}, the range of this model's scores, "
                    f"found {threshold!r}"
                )

    def outcome(self, score: float) -> Outcome:
        """The outcome of a score: a threshold itself already belongs to the severer side; NaN is the fallback."""
        if score >= self.decline:
            return "decline"
        if score >= self.review:
            return "review"
        # NaN fails both comparisons above, and approving what could not be scored is the one wrong answer.
        return self.fallback if math.isnan(score) else "approve"


def _read(path: str | os.PathLike[str], origin: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SIZE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PolicyError(f"{origin}: expected a readable policy file, found: {reason}") from error
    if len(content) > _SIZE_LIMIT_BYTES:
        raise PolicyError(f"{origin}: expected a policy file of at most {_SIZE_LIMIT_BYTES} bytes, found a longer one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            f"{origin}: expected UTF-8 text, found byte 0x{content[error.start]:02x} on line {line}"
        ) from error


def _table(document: Mapping[str, object], name: str, origin: str) -> dict[str, Any]:
    keys = _TABLES[name]
    if name not in document:
        raise PolicyError(f"{origin}: {name}: expected a table [{name}] with {_listed(keys, 'and')}, found none")
    table = document[name]
    if not isinstance(table, dict):
        raise PolicyError(f"{origin}: {name}: expected a table [{name}], found {_shown(table)}")
    _refuse_unknown(table, keys, origin, f"{name}.")
    for key in keys:
        if key not in table:
            expected = _listed(OUTCOMES) if name == "fallback" else "a finite number"
            raise PolicyError(f"{origin}: {name}.{key}: expected {expected}, found nothing")
    return table


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], origin: str, prefix: str) -> None:
    for key in table:
        if key not in known:
            raise PolicyError(f"{origin}: {prefix}{key}: expected only {_listed(known, 'and')} here, found {key!r}")


def _finite(value: object, where: str) -> float:
    # bool is an int to Python, and `review = true` is a mistake rather than the threshold 1.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PolicyError(f"{where}: expected a finite number, found {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PolicyError(f"{where}: expected a finite number, found {number!r}")
    return number


def _listed(names: tuple[str, ...], conjunction: str = "or") -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def _shown(value: object) -> str:
    """A value as a message shows it: strings as TOML spells them, and never pages long."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
