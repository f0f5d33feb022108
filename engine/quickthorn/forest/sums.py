"""The sum of a forest's leaves as C++ text: where it starts, and what happens to it at the end."""

from __future__ import annotations

from collections.abc import Iterator

from quickthorn.forest.ensemble import Ensemble

C_TYPES = {"float32": "float", "float64": "double"}


def finish_steps(ensemble: Ensemble, base_margin: str) -> Iterator[str]:
    """What happens to the sum once every tree is in it, in the order that Ensemble states; ``base_margin`` is C++."""
    if ensemble.average:
        yield f"sum /= {leaf_constant(float(ensemble.tree_count))}"
    if ensemble.scale != 1.0:
        yield f"sum *= {leaf_constant(ensemble.scale)}"
    if ensemble.base_last:
        yield f"sum += {base_margin}"


def leaf_constant(value: float) -> str:
    """The value as C++, in the type that leaves are summed in."""
    # Hexadecimal floats are exact, and look the same everywhere.
    return f"static_cast<Leaf>({float(value).hex()})"
