"""`quickthorn promote`, `rollback`, `ledger` and `fetch`: what is in place, how it came there, and how it goes back."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

import msgspec

from quickthorn.cli.diff import add_events, print_comparison
from quickthorn.cli.passphrase import add_passphrase, passphrase_of
from quickthorn.cli.progress import Steps, add_quiet
from quickthorn.cli.refusal import DONE, FAILED, refuse
from quickthorn.errors import GateError, QuickthornError, SigningError, StoreError
from quickthorn.lifecycle import Gates, Ledger, Promotion, Recorded, Store, fetch, promote, read_event_table, roll_back

PROMOTE = (
    "Judge a bundle against the one in place, by the gates of a file; where it passes, store it and sign in the ledger "
    "that it is in place. Exit code 0 where it was promoted, 1 where a gate did not let it through, 2 where it could "
    "not be judged. The first bundle of an environment has nobody to be compared with."
)
ROLLBACK = (
    "Sign in the ledger that an earlier bundle is in place again: the last other one, or the one that --to names. What "
    "the trust file calls back does not return. Exit code 0 where it was done, 2 where it was not."
)
FETCH = (
    "Write the bundle that is in place to a file, or with --at the one that was in place then: what a service deploys, "
    "and what the next one is compared with. It must satisfy the trust file as it stands now. Exit code 0 where it was "
    "written, 1 where the ledger was tampered with or the bundle is not trusted, 2 where nothing was in place, or it "
    "cannot be written."
)
LEDGER = (
    "Check the whole ledger and print it, or with --at what was in place then. Exit code 0 where it holds, 1 where it "
    "was tampered with or signed by nobody trusted."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the four verbs."""
    promoting = subparsers.add_parser("promote", help="put a bundle in place", description=PROMOTE)
    promoting.add_argument("bundle", type=Path, help="bundle file to put in place")
    _add_place(promoting)
    _add_key(promoting)
    promoting.add_argument("--gates", required=True, type=Path, metavar="GATES.toml", help="what it must show")
    add_events(promoting)
    add_quiet(promoting)
    promoting.set_defaults(run=run_promote)

    back = subparsers.add_parser("rollback", help="put an earlier bundle back", description=ROLLBACK)
    _add_place(back)
    _add_key(back)
    back.add_argument("--to", metavar="ID", help="bundle id, or its beginning (default: the last other one)")
    back.add_argument("--why", default="", help="a sentence for the ledger")
    back.set_defaults(run=run_rollback)

    ledger = subparsers.add_parser("ledger", help="what was in place when", description=LEDGER)
    _add_place(ledger)
    _add_at(ledger)
    ledger.set_defaults(run=run_ledger)

    fetching = subparsers.add_parser("fetch", help="get the bundle that is in place", description=FETCH)
    _add_place(fetching)
    _add_at(fetching)
    fetching.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="bundle file to write")
    fetching.set_defaults(run=run_fetch)


def run_promote(args: argparse.Namespace) -> int:
    """Judge, and promote what passes; returns the exit code."""
    from quickthorn.signing import SigningKey, Trust

    try:
        with Steps(quiet=args.quiet) as steps:
            steps("read the files")
            done = promote(
                args.bundle,
                store=Store(args.store),
                environment=args.environment,
                trust=Trust.from_toml(args.trust),
                key=SigningKey.read(args.key, passphrase_of(args)),
                gates=Gates.from_toml(args.gates),
                events=read_event_table(args.events) if args.events is not None else None,
                label=args.label,
                on_step=steps,
            )
    except QuickthornError as error:
        return refuse("promote", error)
    if args.json:
        document = {"promoted": done.recorded is not None, "gates": done.results, "comparison": done.compared}
        print(msgspec.json.encode(document | {"entry": _document(done.recorded)}).decode())
    else:
        _print_promotion(done)
    return DONE if done.recorded is not None else FAILED


def run_rollback(args: argparse.Namespace) -> int:
    """Put the earlier bundle back; returns the exit code."""
    from quickthorn.signing import SigningKey, Trust

    try:
        recorded = roll_back(
            store=Store(args.store),
            environment=args.environment,
            trust=Trust.from_toml(args.trust),
            key=SigningKey.read(args.key, passphrase_of(args)),
            to=args.to,
            why=args.why,
        )
    except QuickthornError as error:
        return refuse("rollback", error)
    print(msgspec.json.encode(_document(recorded)).decode() if args.json else _line(recorded))
    return DONE


def run_ledger(args: argparse.Namespace) -> int:
    """Check and print; returns the exit code."""
    from quickthorn.signing import Trust

    try:
        at = _time(args.at) if args.at is not None else None
        trust = Trust.from_toml(args.trust)
        ledger = Ledger(Store(args.store), args.environment, trust)
    except QuickthornError as error:
        return refuse("ledger", error)
    try:
        in_place = ledger.in_place(at)
        found = ledger.entries() if at is None else (in_place,) if in_place is not None else ()
    except QuickthornError as error:
        return refuse("ledger", error, FAILED)
    if args.json:
        print(msgspec.json.encode([_document(one) for one in found]).decode())
        return DONE
    for one in found:
        print(_line(one))
    if not found:
        print(f"{args.environment}: nothing was in place")
    return DONE


def run_fetch(args: argparse.Namespace) -> int:
    """Write the file and print what it is; returns the exit code."""
    from quickthorn.signing import Trust

    try:
        at = _time(args.at) if args.at is not None else None
        trust = Trust.from_toml(args.trust)
        store = Store(args.store)
    except QuickthornError as error:
        return refuse("fetch", error)
    try:
        recorded = fetch(args.output, store=store, environment=args.environment, trust=trust, at=at)
    except (SigningError, StoreError) as error:
        return refuse("fetch", error, FAILED)
    except QuickthornError as error:
        return refuse("fetch", error)
    if args.json:
        print(msgspec.json.encode({"path": str(args.output), "entry": _document(recorded)}).decode())
    else:
        print(f"{args.output}: {_line(recorded)}")
    return DONE


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help="what was in place then, such as 2026-03-01T12:00:00Z")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", required=True, metavar="URL", help="directory or fsspec URL of the bundle store")
    parser.add_argument("--environment", required=True, metavar="NAME", help="where it is in place, such as prod")
    parser.add_argument("--trust", required=True, type=Path, metavar="TRUST.toml", help="trust file")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", required=True, type=Path, metavar="KEY.pem", help="private key with the role promoter")
    add_passphrase(parser, "open the private key with")


def _print_promotion(done: Promotion) -> None:
    if done.compared is not None:
        print_comparison(done.compared)
    for result in done.results:
        verdict = "holds" if result.holds else "DOES NOT HOLD"
        print(f"gate {result.gate}: at most {result.most:g}, found {result.found:.4g}: {verdict}")
    print(_line(done.recorded) if done.recorded is not None else "not promoted")


def _line(recorded: Recorded) -> str:
    entry = recorded.entry
    return (
        f"{entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.environment} {entry.number}: {entry.action} "
        f"bundle {recorded.bundle_id[:16]}, version {entry.version}, by {recorded.signer}"
    )


def _document(recorded: Recorded | None) -> dict[str, Any] | None:
    if recorded is None:
        return None
    return {"bundle_id": recorded.bundle_id, "signer": recorded.signer, **msgspec.structs.asdict(recorded.entry)}


def _time(text: str) -> dt.datetime:
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise GateError(f"--at: expected a time such as 2026-03-01T12:00:00Z, found {text!r}") from error
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)
