"""Reads conditions: the grammar, for lark, and what it refuses."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from quickthorn.errors import ConditionError
from quickthorn.extras import require

GRAMMAR: Final = r"""
?start: either
?either: both ("or" both)*
?both: opposite ("and" opposite)*
?opposite: "not" opposite            -> negation
    | relation
?relation: sum
    | sum COMPARISON sum            -> compare
    | sum "in" "(" list ")"         -> among
    | sum "not" "in" "(" list ")"   -> not_among
    | sum "is" "missing"            -> missing
    | sum "is" "not" "missing"      -> not_missing
list: constant ("," constant)* ","?
?sum: product ((PLUS | MINUS) product)*
?product: sign ((TIMES | OVER) sign)*
?sign: "-" sign                     -> negative
    | atom
?atom: NUMBER                       -> number
    | TEXT                          -> text
    | "true"                        -> true
    | "false"                       -> false
    | NAME                          -> name
    | "event" "." NAME              -> event_name
    | "event" "[" TEXT "]"          -> event_name
    | "feature" "." NAME            -> feature_name
    | "feature" "[" TEXT "]"        -> feature_name
    | "(" either ")"
?constant: NUMBER                   -> number
    | "-" NUMBER                    -> negative_number
    | TEXT                          -> text
COMPARISON: "==" | "!=" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
NUMBER: /\d+(_\d+)*(\.\d+)?([eE][+-]?\d+)?/
TEXT: /"[^"\n]*"|'[^'\n]*'/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%ignore /\s+/
"""


def parse(text: str) -> Any:
    """The condition as a tree of lark's; ConditionError where it breaks the grammar."""
    lark = require("lark", "compile", "reading a policy's conditions")
    try:
        return _parser().parse(text)
    except lark.exceptions.UnexpectedEOF as error:
        raise ConditionError("expected more, found the end", len(text) + 1) from error
    except lark.exceptions.UnexpectedToken as error:
        if error.token.type == "$END":
            raise ConditionError("expected more, found the end", len(text) + 1) from None
        raise ConditionError(f"expected something else, found {str(error.token)!r}", error.pos_in_stream + 1) from None
    except lark.exceptions.UnexpectedCharacters as error:
        raise ConditionError(
            f"expected something else, found {text[error.pos_in_stream]!r}", error.pos_in_stream + 1
        ) from None


@cache
def _parser() -> Any:
    lark = require("lark", "compile", "reading a policy's conditions")
    return lark.Lark(GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True, maybe_placeholders=False)
