"""``compile_forest``: a trained model in, one proven and loaded forest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

from quickthorn.bundle import ForestManifest, pack_forest, read_forest
from quickthorn.bundle.manifest import library_member
from quickthorn.compiling.cache import Cache
from quickthorn.compiling.golden import golden_vectors
from quickthorn.compiling.library import link_libraries
from quickthorn.compiling.provenance import forest_summary, tool_versions
from quickthorn.compiling.source_model import trained_model
from quickthorn.compiling.toolchain import check_targets, find_compilers, provable_targets
from quickthorn.errors import ModelError
from quickthorn.forest.ensemble import Ensemble
from quickthorn.serving import Forest


def compile_forest(
    model: object,
    *,
    target: str | Sequence[str] | None = None,
    category_codes: bool = False,
    categories: Mapping[str | int, Sequence[str]] | None = None,
    contributions: bool = False,
) -> Forest:
    """What ``quickthorn.compile_model`` does."""
    targets = check_targets(target)
    compilers = find_compilers(targets)
    runnable = provable_targets(targets, target)
    loaded = trained_model(model, category_codes=category_codes, categories=categories)
    ensemble = loaded.ensemble
    _check_categories_are_read(ensemble, categories or {})
    libraries = link_libraries(compilers, {}, ensemble, Cache(None), contributions=contributions)
    golden = golden_vectors(loaded, contributions=contributions)
    manifest = ForestManifest(
        quickthorn=metadata.version("quickthorn"),
        targets=targets,
        forest=forest_summary(ensemble),
        objective=ensemble.objective,
        features=ensemble.feature_count,
        feature_names=ensemble.feature_names,
        outputs=ensemble.output_count,
        categories=ensemble.category_dictionary,
        unknown_category=ensemble.unknown_category,
        golden=golden.shapes,
        tools=tool_versions(compilers, with_features=False, with_forest=True, with_contributions=contributions),
    )
    members = {library_member(level): image for level, image in libraries.items()} | golden.members
    # Proven as a service will see it: read, verified, mapped, and held to the source library's golden vectors.
    file = read_forest(pack_forest(manifest, members))
    *others, best = runnable
    for level in others:
        Forest.open(file, "compiled forest", level)
    return Forest.open(file, "compiled forest", best)


def _check_categories_are_read(ensemble: Ensemble, categories: Mapping[str | int, Sequence[str]]) -> None:
    """Refuse texts that were given for no feature that needs them: a slip in a name would go unseen."""
    keys = ensemble.feature_names or range(ensemble.feature_count)
    levels = ensemble.category_dictionary or (None,) * ensemble.feature_count
    named = [key for key, found in zip(keys, levels, strict=True) if found is not None]
    for key in categories:
        if ensemble.source != "catboost" or key not in named:
            raise ModelError(
                f"categories[{key!r}]: expected a feature that a CatBoost model was trained on as text, "
                f"found {'none' if ensemble.source != 'catboost' else 'only ' + ', '.join(map(repr, named)) or 'none'}"
            )
