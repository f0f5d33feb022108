"""Features of text: its length, its digits, its entropy, and how alike two texts are.

Of a text the first 256 bytes of its UTF-8 count, cut to whole characters; a character is a Unicode code point. Fields
may be Text, Category or Entity (an int being its decimal digits). A missing text makes the feature missing.
"""

from __future__ import annotations

import functools

from quickthorn.errors import FeatureError
from quickthorn.features.built_in import BuiltIn, code_in, loaded_built_in
from quickthorn.features.declare import Application

# Two texts are compared by so many characters, one for each bit of a machine word.
COMPARED_CHARACTERS = 64


def text_length(field: object) -> Application:
    """How many characters the text has, at most 256."""
    return _TEXT_LENGTH(field)


def digit_ratio(field: object) -> Application:
    """The share of the characters that are digits 0 to 9; missing for an empty text."""
    return _DIGIT_RATIO(field)


def entropy(field: object) -> Application:
    """The entropy of the text's characters in bits a character (Shannon 1948); missing for an empty text.

    It is 0 for one character repeated and log2(n) for n different ones: what a machine made up has more than a name.
    """
    return _ENTROPY(field)


def edit_distance(
    field: object,
    other: object,
    *,
    ignore_case: bool = False,
    letters_only: bool = False,
    local_part: bool = False,
) -> Application:
    """How many characters must be inserted, deleted or replaced to make one text of the other (Levenshtein 1966).

    ``ignore_case``   A to Z count as a to z; other alphabets are left as they are
    ``letters_only``  ASCII characters that are no letters are left out: digits, dots, spaces
    ``local_part``    of each text with an @ in it only what is before its last @ counts

    The options make a name comparable with an e-mail address. After them, the first 64 characters of each are compared.
    Computed in bit vectors (Myers 1999, Hyyrö 2003).
    """
    return _compared("edit_distance", field, other, ignore_case, letters_only, local_part)


def edit_similarity(
    field: object,
    other: object,
    *,
    ignore_case: bool = False,
    letters_only: bool = False,
    local_part: bool = False,
) -> Application:
    """1 − edit distance / length of the longer text: 1 for equal texts, two empty ones too, 0 for nothing in common.

    Options as for ``edit_distance``.
    """
    return _compared("edit_similarity", field, other, ignore_case, letters_only, local_part)


def jaro_winkler(
    field: object,
    other: object,
    *,
    ignore_case: bool = False,
    letters_only: bool = False,
    local_part: bool = False,
) -> Application:
    """The Jaro-Winkler similarity of two texts, from 0 to 1 (Jaro 1989, Winkler 1990); 1 for two empty ones.

    A common prefix of up to 4 characters counts 0.1 each where the Jaro similarity is above 0.7. Options as for
    ``edit_distance``.
    """
    return _compared("jaro_winkler", field, other, ignore_case, letters_only, local_part)


def _compared(name: str, field: object, other: object, *options: object) -> Application:
    for option, value in zip(("ignore_case", "letters_only", "local_part"), options, strict=True):
        if not isinstance(value, bool):
            raise FeatureError(f"{name}({option}=): expected True or False, found {value!r}")
    return _comparison(name, *options)(field, other)


@functools.cache
def _comparison(name: str, *options: bool) -> BuiltIn:
    return loaded_built_in(name, ("text", "text"), code_in("text_kernels", name, *options), options)


_TEXT_LENGTH = loaded_built_in("text_length", ("text",), code_in("text_kernels", "text_length"))
_DIGIT_RATIO = loaded_built_in("digit_ratio", ("text",), code_in("text_kernels", "digit_ratio"))
_ENTROPY = loaded_built_in("entropy", ("text",), code_in("text_kernels", "entropy"))
# Whether two fields hold the same text; declared by qt.mismatch.
TEXT_MISMATCH = loaded_built_in("text_mismatch", ("text", "text"), code_in("text_kernels", "text_mismatch"))
