"""Categories as numbers: codes fitted to past values, and hash buckets that need no fitting.

Any Category, Entity or Text field can be encoded, with or without declared values: what is looked up is the text of
the value, an int being its decimal digits. The fitted codes are a constant table of the bundle's library, laid out by a
64-bit hash of the value, so the values themselves are not in the bundle. The hash is no secret: who has the bundle can
try a value.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickthorn.errors import FeatureError
from quickthorn.features.built_in import BuiltIn, ConstantTable, check_whole, code_in, loaded_built_in
from quickthorn.features.declare import Application

CODES_MOST = 2**20
BUCKETS_MOST = 2**31
# A longer text is unknown to every encoding; QUICKTHORN_TEXT_BYTES in library_abi.h.
TEXT_BYTES = 256


@dataclass(frozen=True, eq=False)
class Encoding:
    """A fitted dictionary: the code of each known value, of an unknown one, and of a missing one.

    ``kind``     how it was fitted, for the manifest: "ordinal", "frequency", "target_mean", "weight_of_evidence" or a
                 name of your own
    ``codes``    finite numbers by value, at most 1,048,576; values over 256 bytes of UTF-8 are unknown all the same
    ``unknown``  the code of a value that is not in ``codes``
    ``missing``  the code of no value at all; NaN leaves it missing
    """

    kind: str
    codes: Mapping[str, float]
    unknown: float = -1.0
    missing: float = math.nan

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not self.kind:
            raise FeatureError(f"Encoding(kind=): expected a non-empty str, found {self.kind!r}")
        if len(self.codes) > CODES_MOST:
            raise FeatureError(f"Encoding(codes=): expected at most {CODES_MOST} values, found {len(self.codes)}")
        for value, code in self.codes.items():
            if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
                raise FeatureError(f"Encoding(codes=): expected values that are str, found {value!r}")
            if not _is_number(code) or not math.isfinite(code):
                raise FeatureError(f"Encoding(codes=): expected a finite number for {value!r}, found {code!r}")
        for name in ("unknown", "missing"):
            if not _is_number(getattr(self, name)):
                raise FeatureError(f"Encoding({name}=): expected a number, found {getattr(self, name)!r}")
        object.__setattr__(self, "codes", {value: float(code) for value, code in self.codes.items()})
        object.__setattr__(self, "unknown", float(self.unknown))
        object.__setattr__(self, "missing", float(self.missing))

    def __repr__(self) -> str:
        return f"Encoding({self.kind!r}, {len(self.codes)} values, unknown={self.unknown}, missing={self.missing})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the encoding as JSON, values and all, for ``Encoding.load``."""
        Path(path).write_text(json.dumps(self._document(), ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Encoding:
        """What ``save`` wrote, number for number; FeatureError where the file is something else."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(document["kind"], document["codes"], document["unknown"], document["missing"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise FeatureError(f"{os.fspath(path)}: expected an encoding that was saved, found {reason}") from error

    @functools.cached_property
    def sha256(self) -> str:
        """A digest of the codes, in hex; the same for the same codes in any order."""
        return hashlib.sha256(json.dumps(self._document(), sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def kernel(self) -> BuiltIn:
        """The kernel that looks values up."""

        def table() -> ConstantTable:
            return ConstantTable("encoding", self.kind, len(self.codes), self.sha256)

        load = code_in("category_kernels", "encoded", self.codes, self.unknown, self.missing)
        return loaded_built_in("encoded", ("text",), load, (self,), table)

    def _document(self) -> dict[str, Any]:
        return {"kind": self.kind, "unknown": self.unknown, "missing": self.missing, "codes": self.codes}


def encoded(field: object, encoding: Encoding) -> Application:
    """The field's value as the encoding has it: ``features["risk"] = qt.encoded(Payment.merchant, merchant_risk)``."""
    if not isinstance(encoding, Encoding):
        raise FeatureError(f"encoded: expected an Encoding, found {encoding!r}")
    return encoding.kernel(field)


def hash_bucket(field: object, buckets: int, *, seed: int = 0, missing: float = math.nan) -> Application:
    """The value's bucket, 0 to ``buckets`` − 1: MurmurHash3 of its UTF-8 text, 32 bits unsigned, modulo ``buckets``.

    Every value has a bucket, so none is unknown. Of a text over 256 bytes the first 256 count.

    ``buckets``  2 to 2,147,483,648
    ``seed``     0 to 4,294,967,295; as in ``sklearn.utils.murmurhash3_32(text, seed, positive=True) % buckets``
    ``missing``  what stands for no value
    """
    count = check_whole("hash_bucket(buckets=)", buckets, 2, BUCKETS_MOST)
    kernel = _bucket_kernel(count, check_whole("hash_bucket(seed=)", seed, 0, 2**32 - 1))
    if not _is_number(missing):
        raise FeatureError(f"hash_bucket(missing=): expected a number, found {missing!r}")
    return kernel(field, missing)


@functools.cache
def _bucket_kernel(buckets: int, seed: int) -> BuiltIn:
    load = code_in("category_kernels", "hash_bucket", buckets, seed)
    return loaded_built_in("hash_bucket", ("text", "number"), load, (buckets, seed))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
