"""`quickthorn compile`: feature set, model and policy in, one proven bundle out."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import msgspec

from quickthorn.cli.progress import Steps, add_quiet
from quickthorn.cli.refusal import DONE, refuse
from quickthorn.errors import FeatureError, ProjectError, QuickthornError
from quickthorn.features import FeatureSet
from quickthorn.lifecycle import PROJECT_FILE, CompileSettings

DESCRIPTION = (
    "Compile a feature set, a trained tree ensemble and a policy into one bundle file. The compiled forest "
    "is held to the source library before anything is written: same leaf in every tree, same bits in every margin. "
    f"What the command line leaves out is taken from the table [compile] of a project file: {PROJECT_FILE} where it "
    "is in the working directory, or the one that --project names. Without model and policy the bundle computes "
    "features only. Exit code 0 where the bundle was written, 2 where it was not."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb `compile`."""
    parser = subparsers.add_parser("compile", help="compile a bundle", description=DESCRIPTION)
    parser.add_argument(
        "--project", type=Path, metavar="FILE.toml", help=f"project file (default: {PROJECT_FILE}, where there is one)"
    )
    parser.add_argument("--features", metavar="FILE.py:NAME", help="Python file and the name of the FeatureSet in it")
    parser.add_argument(
        "--model",
        help="model file: XGBoost .json or .ubj, LightGBM .txt, CatBoost .cbm or .json, scikit-learn .skops; or a "
        "bundle whose model it is to be",
    )
    parser.add_argument("--policy", help="policy file (TOML)")
    parser.add_argument("--calibration", help="calibration file, as Calibration.save writes it")
    parser.add_argument("--reasons", help="reason map (TOML), which brings contributions with it")
    parser.add_argument(
        "--reference", metavar="FILE.parquet", help="events, or rows of features, whose distributions the bundle holds"
    )
    parser.add_argument("-o", "--output", help="bundle file to write")
    parser.add_argument(
        "--bundle-version",
        type=int,
        dest="version",
        metavar="N",
        help="which of your bundles this is, counted upwards (default: 0)",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="LEVEL",
        help="CPU level to compile for: x86-64-v2, x86-64-v3, x86-64-v4, or armv8-a with a cross compiler; may be "
        "repeated (default: all of this machine)",
    )
    parser.add_argument(
        "--contributions",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="explain margins too: what every feature adds to them",
    )
    add_quiet(parser)
    parser.add_argument("--json", action="store_true", help="print what was made as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compile and print what was made; returns the exit code."""
    from quickthorn.compiling import compile_bundle

    steps = Steps(quiet=args.quiet)
    try:
        settings = _settings(args)
        with steps:
            steps("read the features")
            features = load_features(settings.pop("features"))
            summary = compile_bundle(features=features, on_step=steps, **settings)
    except QuickthornError as error:
        return refuse("compile", error)
    if args.json:
        print(msgspec.json.encode({"bundle": summary, "seconds": steps.seconds}, enc_hook=str).decode())
        return DONE
    print(f"{summary.path}: {summary.size_bytes:,} bytes, bundle {summary.bundle_id[:16]}")
    print(f"  {summary.features} features, {summary.trees} trees")
    print(f"  for {', '.join(summary.targets)}")
    if summary.golden_rows:
        print(f"  {summary.golden_rows} golden vectors agree with the source library in every leaf and every bit")
    print(f"  {summary.golden_events} golden events agree with the reference")
    return DONE


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """What to compile: the project file's settings, and over them the command line's."""
    project = args.project if args.project is not None else Path(PROJECT_FILE)
    read = args.project is not None or project.exists()
    settings = msgspec.structs.asdict(CompileSettings.from_toml(project) if read else CompileSettings())
    given = {name: getattr(args, name) for name in settings}
    settings |= {name: value for name, value in given.items() if value is not None}
    for name in ("features", "output"):
        if settings[name] is None:
            where = f"in {project}" if read else f"in {project}, which is not there"
            raise ProjectError(f"{name}: expected --{name}, or compile.{name} {where}; found neither")
    return {name: value for name, value in settings.items() if value is not None}


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
