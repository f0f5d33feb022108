"""The code of the text features: UTF-8 is read as it lies in the event row, scratch memory is on the stack."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from quickthorn.features.ahead import ahead_of_time
from quickthorn.features.memory import load_float64, load_int64, store_int64
from quickthorn.features.text_memory import (
    TEXT_BYTES,
    TEXT_LENGTH_OFFSET,
    constant_table,
    load_byte,
    stack_memory,
    text_bytes,
)
from quickthorn.features.texts import COMPARED_CHARACTERS

_AT_SIGN = 0x40
_WORD = 8
_LOG2 = constant_table(struct.pack(f"<{TEXT_BYTES + 1}d", 0.0, *map(math.log2, range(1, TEXT_BYTES + 1))))
# A table of characters has a word for each ASCII one, and after those twice as many places as there can be others, each
# a key (a code point + 1, 0 where free) and a word.
_ASCII = 128
_PLACE_BYTES = 2 * _WORD
_counts_memory = stack_memory(_ASCII * _WORD + 2 * TEXT_BYTES * _PLACE_BYTES)
_places_memory = stack_memory(_ASCII * _WORD + 4 * COMPARED_CHARACTERS * _PLACE_BYTES)
_characters_memory = stack_memory(COMPARED_CHARACTERS * _WORD)
_other_characters_memory = stack_memory(COMPARED_CHARACTERS * _WORD)


@ahead_of_time
def _character_bytes(first: int) -> int:
    """How many bytes the character has that begins with this one; a stray byte is a character of its own."""
    if first < 0xC0:
        return 1
    if first < 0xE0:
        return 2
    return 3 if first < 0xF0 else 4


@ahead_of_time
def _end(text: Any) -> int:
    """Where the part of the text ends that counts; −1 for no text."""
    length = load_int64(text, TEXT_LENGTH_OFFSET)
    if length <= TEXT_BYTES:
        return int(length)
    source = text_bytes(text)
    last = TEXT_BYTES - 1
    while last > TEXT_BYTES - 4 and load_byte(source, last) & 0xC0 == 0x80:
        last -= 1
    return last if last + _character_bytes(load_byte(source, last)) > TEXT_BYTES else TEXT_BYTES


@ahead_of_time
def _character(source: Any, at: int, size: int) -> int:
    """The code point of the character of ``size`` bytes at ``at``; only one byte makes an ASCII character."""
    point = load_byte(source, at)
    if size == 1:
        return int(point)
    point &= 0x7F >> size
    for more in range(1, size):
        point = point << 6 | load_byte(source, at + more) & 0x3F
    return max(int(point), _ASCII)


@ahead_of_time
def _word_of(table: Any, mask: int, point: int) -> int:
    """Where in a table the character's word is; one that was not there is put in, with 0."""
    if point < _ASCII:
        return point * _WORD
    place = (point * 0x9E3779B1 >> 15) & mask
    while True:
        key_at = _ASCII * _WORD + place * _PLACE_BYTES
        found = load_int64(table, key_at)
        if found == point + 1:
            return key_at + _WORD
        if found == 0:
            store_int64(table, key_at, point + 1)
            store_int64(table, key_at + _WORD, 0)
            return key_at + _WORD
        place = (place + 1) & mask


@ahead_of_time
def _freed(table: Any, others: int) -> int:
    """Frees the places of up to that many characters that are not ASCII; the number of places less one."""
    places = 4
    while places < 2 * others:
        places *= 2
    for place in range(places):
        store_int64(table, _ASCII * _WORD + place * _PLACE_BYTES, 0)
    return places - 1


def text_length(text: Any) -> float:
    end = _end(text)
    if end < 0:
        return math.nan
    source = text_bytes(text)
    continued = 0
    for at in range(end):
        continued += 1 if load_byte(source, at) & 0xC0 == 0x80 else 0
    return float(end - continued)


def digit_ratio(text: Any) -> float:
    end = _end(text)
    if end <= 0:
        return math.nan
    source = text_bytes(text)
    continued = digits = 0
    for at in range(end):
        byte = load_byte(source, at)
        continued += 1 if byte & 0xC0 == 0x80 else 0
        digits += 1 if 0x30 <= byte <= 0x39 else 0
    return float(digits) / float(end - continued)


def entropy(text: Any) -> float:
    end = _end(text)
    if end <= 0:
        return math.nan
    source, counts, log2 = text_bytes(text), _counts_memory(), _LOG2()
    foreign = 0
    for at in range(end):
        byte = load_byte(source, at)
        foreign += byte >> 7
        store_int64(counts, (byte & (_ASCII - 1)) * _WORD, 0)
    mask = _freed(counts, foreign)
    at = characters = 0
    while at < end:
        size = min(_character_bytes(load_byte(source, at)), end - at)
        word = _word_of(counts, mask, _character(source, at, size))
        store_int64(counts, word, load_int64(counts, word) + 1)
        at += size
        characters += 1
    # −Σ c/n log2(c/n) = log2(n) − Σ c log2(c) / n, where each of the c characters adds log2(c).
    total = 0.0
    at = 0
    while at < end:
        size = min(_character_bytes(load_byte(source, at)), end - at)
        word = _word_of(counts, mask, _character(source, at, size))
        total += load_float64(log2, load_int64(counts, word) * _WORD)
        at += size
    most: float = load_float64(log2, characters * _WORD)
    return max(0.0, most - total / float(characters))


def text_mismatch(text: Any, other: Any) -> float:
    length, other_length = load_int64(text, TEXT_LENGTH_OFFSET), load_int64(other, TEXT_LENGTH_OFFSET)
    if length < 0 or other_length < 0:
        return math.nan
    if length != other_length:
        return 1.0
    source, other_source = text_bytes(text), text_bytes(other)
    different = 0
    for at in range(min(length, TEXT_BYTES)):
        different |= load_byte(source, at) ^ load_byte(other_source, at)
    return 1.0 if different else 0.0


@ahead_of_time
def _read(text: Any, end: int, into: Any, ignore_case: bool, letters_only: bool, local_part: bool) -> int:
    """Writes the characters that are compared as int64; how many they are."""
    source = text_bytes(text)
    if local_part:
        sign = end - 1
        while sign >= 0 and load_byte(source, sign) != _AT_SIGN:
            sign -= 1
        if sign >= 0:
            end = sign
    at = characters = 0
    while at < end and characters < COMPARED_CHARACTERS:
        size = min(_character_bytes(load_byte(source, at)), end - at)
        point = _character(source, at, size)
        at += size
        capital = 0x41 <= point <= 0x5A
        if letters_only and point < 0x80 and not capital and not 0x61 <= point <= 0x7A:
            continue
        store_int64(into, characters * _WORD, point + 32 if ignore_case and capital else point)
        characters += 1
    return characters


@ahead_of_time
def _ascii_cleared(table: Any, characters: Any, count: int) -> bool:
    """Sets the words of the ASCII characters among these to 0; whether there are others."""
    together = 0
    for index in range(count):
        point = load_int64(characters, index * _WORD)
        together |= point
        store_int64(table, min(point, _ASCII - 1) * _WORD, 0)
    return bool(together >= _ASCII)


@ahead_of_time
def _place_masks(table: Any, characters: Any, count: int, others: Any, other_count: int) -> int:
    """For each character the set of places it is at, a bit each, and none for the others; the table's mask."""
    foreign = _ascii_cleared(table, characters, count)
    foreign |= _ascii_cleared(table, others, other_count)
    mask: int = _freed(table, count + other_count if foreign else 0)
    for index in range(count):
        word = _word_of(table, mask, load_int64(characters, index * _WORD))
        store_int64(table, word, load_int64(table, word) | 1 << index)
    return mask


@ahead_of_time
def _places_of(table: Any, mask: int, point: int) -> int:
    return int(load_int64(table, _word_of(table, mask, point)))


@ahead_of_time
def _distance(table: Any, characters: Any, count: int, others: Any, other_count: int) -> int:
    """The edit distance: a column of the table of distances is kept as the bits of its steps up and down."""
    distance = count
    if count == 0:
        return other_count
    mask: int = _place_masks(table, characters, count, others, other_count)
    last = 1 << (count - 1)
    up, down = -1, 0
    for index in range(other_count):
        same = _places_of(table, mask, load_int64(others, index * _WORD))
        vertical = same | down
        horizontal = (((same & up) + up) ^ up) | same
        right_up, right_down = down | ~(horizontal | up), up & horizontal
        if right_up & last:
            distance += 1
        if right_down & last:
            distance -= 1
        right_up, right_down = right_up << 1 | 1, right_down << 1
        up, down = right_down | ~(vertical | right_up), right_up & vertical
    return distance


def edit_distance(ignore_case: bool, letters_only: bool, local_part: bool) -> Callable[..., float]:
    """The kernel for these options."""

    def edit_distance(text: Any, other: Any) -> float:
        end, other_end = _end(text), _end(other)
        if end < 0 or other_end < 0:
            return math.nan
        characters, others = _characters_memory(), _other_characters_memory()
        count = _read(text, end, characters, ignore_case, letters_only, local_part)
        other_count = _read(other, other_end, others, ignore_case, letters_only, local_part)
        return float(_distance(_places_memory(), characters, count, others, other_count))

    return edit_distance


def edit_similarity(ignore_case: bool, letters_only: bool, local_part: bool) -> Callable[..., float]:
    """The kernel for these options."""

    def edit_similarity(text: Any, other: Any) -> float:
        end, other_end = _end(text), _end(other)
        if end < 0 or other_end < 0:
            return math.nan
        characters, others = _characters_memory(), _other_characters_memory()
        count = _read(text, end, characters, ignore_case, letters_only, local_part)
        other_count = _read(other, other_end, others, ignore_case, letters_only, local_part)
        longer = max(count, other_count)
        if longer == 0:
            return 1.0
        distance = _distance(_places_memory(), characters, count, others, other_count)
        return 1.0 - float(distance) / float(longer)

    return edit_similarity


@ahead_of_time
def _jaro(table: Any, characters: Any, count: int, others: Any, other_count: int) -> float:
    """The Jaro similarity of two texts that are not empty."""
    mask = _place_masks(table, others, other_count, characters, count)
    reach = max(max(count, other_count) // 2 - 1, 0)
    met, other_met, matches = 0, 0, 0
    for index in range(count):
        first, last = max(index - reach, 0), min(index + reach, other_count - 1)
        if first > last:
            break
        window = (-1 << first) & ~(-2 << last)
        free = _places_of(table, mask, load_int64(characters, index * _WORD)) & window & ~other_met
        if free:
            other_met |= free & -free
            met |= 1 << index
            matches += 1
    if matches == 0:
        return 0.0
    swapped = 0
    for index in range(count):
        if met & (1 << index):
            lowest = other_met & -other_met
            if not _places_of(table, mask, load_int64(characters, index * _WORD)) & lowest:
                swapped += 1
            other_met ^= lowest
    found = float(matches)
    return (found / float(count) + found / float(other_count) + (found - float(swapped // 2)) / found) / 3.0


def jaro_winkler(ignore_case: bool, letters_only: bool, local_part: bool) -> Callable[..., float]:
    """The kernel for these options."""

    def jaro_winkler(text: Any, other: Any) -> float:
        end, other_end = _end(text), _end(other)
        if end < 0 or other_end < 0:
            return math.nan
        characters, others = _characters_memory(), _other_characters_memory()
        count = _read(text, end, characters, ignore_case, letters_only, local_part)
        other_count = _read(other, other_end, others, ignore_case, letters_only, local_part)
        if count == 0 or other_count == 0:
            return 1.0 if count == other_count else 0.0
        similarity: float = _jaro(_places_memory(), characters, count, others, other_count)
        if similarity <= 0.7:
            return similarity
        prefix = 0
        while prefix < min(4, count, other_count):
            if load_int64(characters, prefix * _WORD) != load_int64(others, prefix * _WORD):
                break
            prefix += 1
        return similarity + 0.1 * float(prefix) * (1.0 - similarity)

    return jaro_winkler
