"""`quickthorn compile`: feature set, model and policy in, one proven bundle out."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from quickthorn.cli.refusal import refuse
from quickthorn.errors import FeatureError, QuickthornError
from quickthorn.features import FeatureSet

DESCRIPTION = (
    "Compile a feature set, a trained tree ensemble and a policy into one bundle file. The compiled forest "
    "is held to the source library before anything is written: same leaf in every tree, same bits in every margin."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `compile`."""
    parser = subparsers.add_parser("compile", help="compile a bundle", description=DESCRIPTION)
    parser.add_argument(
        "--features", required=True, metavar="FILE.py:NAME", help="Python file and the name of the FeatureSet in it"
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="model file: XGBoost .json or .ubj, LightGBM .txt, CatBoost .cbm or .json, scikit-learn .skops",
    )
    parser.add_argument("--policy", required=True, type=Path, help="policy file (TOML)")
    parser.add_argument("--calibration", type=Path, help="calibration file, as Calibration.save writes it")
    parser.add_argument("--reasons", type=Path, help="reason map (TOML), which brings contributions with it")
    parser.add_argument("-o", "--output", required=True, type=Path, help="bundle file to write")
    parser.add_argument(
        "--bundle-version", type=int, default=0, metavar="N", help="which of your bundles this is, counted upwards"
    )
    parser.add_argument("--target", help="one CPU level, x86-64-v2, x86-64-v3 or x86-64-v4 (default: all three)")
    parser.add_argument(
        "--contributions", action="store_true", help="explain margins too: what every feature adds to them"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compile and print what was made; returns the exit code."""
    from quickthorn.compiling import compile_bundle

    try:
        summary = compile_bundle(
            features=load_features(args.features),
            model=args.model,
            policy=args.policy,
            calibration=args.calibration,
            reasons=args.reasons,
            output=args.output,
            target=args.target,
            version=args.bundle_version,
            contributions=args.contributions,
        )
    except QuickthornError as error:
        return refuse("compile", error)
    print(f"{summary.path}: {summary.size_bytes:,} bytes, bundle {summary.bundle_id[:16]}")
    print(f"  {summary.features} features, {summary.trees} trees")
    print(f"  for {', '.join(summary.targets)}")
    print(f"  {summary.golden_rows} golden vectors agree with the source library in every leaf and every bit")
    return 0


def load_features(named: str) -> FeatureSet:
    """The FeatureSet that ``FILE.py:NAME`` names; FeatureError says what is wrong with file or name."""
    file, colon, name = named.rpartition(":")
    path = Path(file)
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise FeatureError(f'--features: expected FILE.py:NAME such as "fraud/features.py:features", found {named!r}')
    if not path.is_file():
        raise FeatureError(f"--features: expected a Python file, found none at {file}")
    spec = importlib.util.spec_from_file_location(f"quickthorn_features_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FeatureError(f"--features: expected an importable Python file, found {file}")
    module = importlib.util.module_from_spec(spec)
    # Registered, because annotations of event classes are resolved through the module's name.
    sys.modules[spec.name] = module
    # The file's own folder comes first, as it does for a script, so that it can import its neighbours.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except QuickthornError:
        raise
    except Exception as error:
        raise FeatureError(f"--features: {file} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    found = getattr(module, name, None)
    if not isinstance(found, FeatureSet):
        raise FeatureError(f"--features: expected a FeatureSet named {name!r} in {file}, found {found!r}")
    return found
