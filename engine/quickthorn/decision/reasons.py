"""Reason codes: what an analyst or a customer is told of a decision, many features to one reason."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from quickthorn.decision.policy_file import readable
from quickthorn.decision.records import Record
from quickthorn.errors import ReasonError

_SIZE_LIMIT_BYTES = 1 << 22


class Reason(NamedTuple):
    """One reason of a decision: its code and text, and what its features added to the margin, above 0."""

    code: str
    text: str
    contribution: float


class ReasonCode(Record, frozen=True, kw_only=True):
    """A reason, and the features that it stands for."""

    code: Annotated[str, Meta(min_length=1, max_length=40)]
    text: Annotated[str, Meta(min_length=1, max_length=1000)]
    features: Annotated[tuple[str, ...], Meta(min_length=1)]


class ReasonMap(Record, frozen=True, kw_only=True):
    """All reasons there are: every feature of a model belongs to exactly one.

    ``population``  whom a contribution compares the event with, in words: the events the model was trained on
    ``reason``      the reasons; where two weigh the same, the one declared first goes first
    ``most``        how many a decision is given, 1 to 16
    """

    population: Annotated[str, Meta(min_length=1, max_length=1000)]
    reason: Annotated[tuple[ReasonCode, ...], Meta(min_length=1, max_length=1000)]
    most: Annotated[int, Meta(ge=1, le=16)] = 4

    def __post_init__(self) -> None:
        owners: dict[str, str] = {}
        codes: set[str] = set()
        for reason in self.reason:
            if reason.code in codes:
                raise ValueError(f"reason {reason.code!r}: expected each code once, found it twice")
            codes.add(reason.code)
            for feature in reason.features:
                if feature in owners:
                    both = f"in {owners[feature]!r} and {reason.code!r}"
                    raise ValueError(f"feature {feature!r}: expected it in one reason, found it {both}")
                owners[feature] = reason.code

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> ReasonMap:
        """Read a reason map from a TOML file; ReasonError, opened by its path, where it is none."""
        origin = os.fspath(path)
        try:
            with Path(path).open("rb") as file:
                content = file.read(_SIZE_LIMIT_BYTES + 1)
            if len(content) > _SIZE_LIMIT_BYTES:
                raise ReasonError(f"{origin}: expected a reason map of at most {_SIZE_LIMIT_BYTES} bytes")
            return msgspec.convert(tomllib.loads(content.decode("utf-8")), cls)
        except OSError as error:
            raise ReasonError(f"{origin}: expected a readable reason map, found: {error.strerror}") from error
        except msgspec.ValidationError as error:
            raise ReasonError(f"{origin}: {readable(str(error))}") from None
        except (ValueError, RecursionError) as error:
            raise ReasonError(f"{origin}: expected TOML, found a syntax error: {error}") from error

    def check_features(self, features: Iterable[str], origin: str = "reasons") -> None:
        """ReasonError unless exactly these features have a reason."""
        known = tuple(features)
        named = {feature for reason in self.reason for feature in reason.features}
        missed = [feature for feature in known if feature not in named]
        if missed:
            raise ReasonError(f"{origin}: feature {missed[0]!r}: expected it in one reason, found it in none")
        unknown = sorted(named - set(known))
        if unknown:
            raise ReasonError(f"{origin}: feature {unknown[0]!r}: expected a feature of the model, found none")

    def codes_of(self, features: Iterable[str]) -> list[int]:
        """The place of every feature's reason."""
        places = {feature: place for place, reason in enumerate(self.reason) for feature in reason.features}
        return [places[feature] for feature in features]
