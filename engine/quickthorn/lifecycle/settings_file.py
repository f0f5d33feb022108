"""Settings that people write in TOML: read into a record, or refused in one sentence."""

from __future__ import annotations

import os
import tomllib
from typing import TypeVar

import msgspec

from quickthorn.decision.policy_file import readable
from quickthorn.errors import QuickthornError

Settings = TypeVar("Settings")


def read_settings(
    path: str | os.PathLike[str], record: type[Settings], what: str, refusal: type[QuickthornError]
) -> Settings:
    """The record that a file holds; ``refusal``, opened by the path, says why it is no such ``what`` file."""
    origin = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return msgspec.convert(tomllib.load(file), record, strict=False)
    except OSError as error:
        raise refusal(f"{origin}: expected a readable {what} file, found: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise refusal(f"{origin}: {readable(str(error))}") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"{origin}: expected TOML, found a syntax error: {error}") from error
