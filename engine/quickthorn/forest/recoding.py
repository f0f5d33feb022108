"""Categories made numbers, so that a forest with categorical splits is evaluated like any other.

A categorical split asks whether a category is in a set. Sets of one feature that contain one another are a chain, and a
category's code in a chain says how many of its sets do not have it: then it is in the k-th smallest set exactly if its
code is below k. So each chain becomes a feature beside the row's own, and each categorical split a comparison. What is
no category, or in no set, has the highest code; a missing value the lowest or the highest, as its default says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quickthorn.forest.ensemble import MAX_FEATURES, Ensemble, Missing

# A code is one byte.
_LONGEST_CHAIN = 255
# With more sets than this a tree, ranking a row costs more than walking it.
_SETS_PER_TREE = 8
_SETS_ALWAYS = 128
_MOST_CODES = 2**24


@dataclass(frozen=True)
class Coding:
    """One feature's codes: `codes` is uint8 [categories + 2, chains], by category, then of any other, then of NaN.

    The codes stand in the row from `first` on.
    """

    feature: int
    first: int
    codes: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Recoded:
    """A forest without categorical splits, over a row that is followed by codes."""

    ensemble: Ensemble
    codings: tuple[Coding, ...]


def recode(ensemble: Ensemble) -> Recoded | None:
    """The same forest over codes, or None where there are too many sets or categories for that to be quicker."""
    splits = np.flatnonzero(ensemble.categorical)
    if ensemble.linear is not None or (ensemble.categories >= _MOST_CODES).any():
        return None
    sets: dict[tuple[int, bool], dict[int, list[int]]] = {}
    for split in splits.tolist():
        begin, end = ensemble.category_offsets[split : split + 2]
        key = int(ensemble.feature[split]), bool(ensemble.default_left[split])
        sets.setdefault(key, {}).setdefault(_bits(ensemble.categories[begin:end]), []).append(split)
    if sum(map(len, sets.values())) > _SETS_PER_TREE * ensemble.tree_count + _SETS_ALWAYS:
        return None
    feature, threshold = ensemble.feature.copy(), ensemble.threshold.copy()
    codings: list[Coding] = []
    next_feature, size = ensemble.feature_count, 0
    for (own, missing_left), of_feature in sorted(sets.items()):
        chains = _chains(sorted(of_feature, key=lambda members: (members.bit_count(), members)))
        for number, chain in enumerate(chains):
            for place, members in enumerate(chain):
                feature[of_feature[members]] = next_feature + number
                # Between two codes, so that < and <= are one.
                threshold[of_feature[members]] = place + 0.5
        count = max(members.bit_length() for members in of_feature)
        size += (count + 2) * len(chains)
        if size > _MOST_CODES or next_feature + len(chains) > MAX_FEATURES:
            return None
        codings.append(Coding(own, next_feature, _codes(chains, count, missing_left)))
        next_feature += len(chains)
    forest = replace(
        ensemble,
        feature_count=next_feature,
        feature_names=None,
        category_dictionary=None,
        feature=feature,
        threshold=threshold,
        default_left=ensemble.default_left & ~ensemble.categorical,
        missing=np.where(ensemble.categorical, np.uint8(Missing.NAN), ensemble.missing),
        categorical=np.zeros_like(ensemble.categorical),
        category_offsets=np.zeros_like(ensemble.category_offsets),
        categories=ensemble.categories[:0],
    )
    return Recoded(forest, tuple(codings))


def _bits(members: npt.NDArray[np.int32]) -> int:
    """A set as the number whose bits are its members."""
    flags = np.zeros(int(members.max(initial=-1)) + 1, np.uint8)
    flags[members] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def _chains(by_size: list[int]) -> list[list[int]]:
    """Divide sets into chains, each set in the first whose largest it contains."""
    chains: list[list[int]] = []
    for members in by_size:
        for chain in chains:
            if len(chain) < _LONGEST_CHAIN and chain[-1] & members == chain[-1]:
                chain.append(members)
                break
        else:
            chains.append([members])
    return chains


def _codes(chains: list[list[int]], count: int, missing_left: bool) -> npt.NDArray[np.uint8]:
    codes = np.zeros((count + 2, len(chains)), np.uint8)
    for number, chain in enumerate(chains):
        for members in chain:
            packed = np.frombuffer(members.to_bytes(-(-count // 8), "little"), np.uint8)
            codes[:count, number] += 1 - np.unpackbits(packed, count=count, bitorder="little")
        codes[count, number] = len(chain)
        codes[count + 1, number] = 0 if missing_left else len(chain)
    return codes
