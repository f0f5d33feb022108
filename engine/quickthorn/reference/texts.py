"""Text features, by Python's own strings and the textbook's tables."""

from __future__ import annotations

import math
from collections import Counter

_TEXT_BYTES, _COMPARED = 256, 64


def text_length(text: str | None) -> float:
    """Characters of the part that counts."""
    return math.nan if text is None else float(len(_counting(text)))


def digit_ratio(text: str | None) -> float:
    """The share of ASCII digits."""
    characters = _counting(text or "")
    return sum(character in "0123456789" for character in characters) / len(characters) if characters else math.nan


def entropy(text: str | None) -> float:
    """Bits a character, by the share of each."""
    characters = _counting(text or "")
    shares = [count / len(characters) for count in Counter(characters).values()]
    return abs(math.fsum(share * math.log2(share) for share in shares)) if shares else math.nan


def text_mismatch(text: str | None, other: str | None) -> float:
    """Whether two texts differ in their length in bytes or in the bytes that count."""
    if text is None or other is None:
        return math.nan
    one, two = text.encode(), other.encode()
    return float(len(one) != len(two) or one[:_TEXT_BYTES] != two[:_TEXT_BYTES])


def edit_distance(
    ignore_case: bool, letters_only: bool, local_part: bool, text: str | None, other: str | None
) -> float:
    """Levenshtein's distance, by the whole table."""
    if text is None or other is None:
        return math.nan
    options = (ignore_case, letters_only, local_part)
    return float(_distance(_compared(text, *options), _compared(other, *options)))


def edit_similarity(
    ignore_case: bool, letters_only: bool, local_part: bool, text: str | None, other: str | None
) -> float:
    """1 less the distance as a share of the longer text."""
    if text is None or other is None:
        return math.nan
    options = (ignore_case, letters_only, local_part)
    one, two = _compared(text, *options), _compared(other, *options)
    longer = max(len(one), len(two))
    return 1.0 - _distance(one, two) / longer if longer else 1.0


def jaro_winkler(ignore_case: bool, letters_only: bool, local_part: bool, text: str | None, other: str | None) -> float:
    """Jaro's similarity, and Winkler's prefix."""
    if text is None or other is None:
        return math.nan
    options = (ignore_case, letters_only, local_part)
    one, two = _compared(text, *options), _compared(other, *options)
    if not one or not two:
        return float(one == two)
    jaro = _jaro(one, two)
    prefix = 0
    while prefix < min(4, len(one), len(two)) and one[prefix] == two[prefix]:
        prefix += 1
    return jaro + 0.1 * prefix * (1.0 - jaro) if jaro > 0.7 else jaro


def _counting(text: str) -> str:
    return text.encode()[:_TEXT_BYTES].decode(errors="ignore")


def _compared(text: str, ignore_case: bool, letters_only: bool, local_part: bool) -> str:
    text = _counting(text)
    if local_part and "@" in text:
        text = text.rpartition("@")[0]
    if letters_only:
        text = "".join(character for character in text if not character.isascii() or character.isalpha())
    if ignore_case:
        text = "".join(character.lower() if character.isascii() else character for character in text)
    return text[:_COMPARED]


def _distance(one: str, two: str) -> int:
    row = list(range(len(two) + 1))
    for place, character in enumerate(one, start=1):
        above, row[0] = row[0], place
        for column, other in enumerate(two, start=1):
            replaced = above + (character != other)
            above = row[column]
            row[column] = min(replaced, above + 1, row[column - 1] + 1)
    return row[-1]


def _jaro(one: str, two: str) -> float:
    reach = max(0, max(len(one), len(two)) // 2 - 1)
    taken: dict[int, int] = {}  # place in two by place in one
    for place, character in enumerate(one):
        for other in range(max(0, place - reach), min(len(two), place + reach + 1)):
            if two[other] == character and other not in taken.values():
                taken[place] = other
                break
    if not taken:
        return 0.0
    matches = float(len(taken))
    in_order = zip(sorted(taken), sorted(taken.values()), strict=True)
    swapped = sum(one[place] != two[other] for place, other in in_order) // 2
    return (matches / len(one) + matches / len(two) + (matches - swapped) / matches) / 3.0
