"""House rules about files: where they are, what they are called, how long they are, and what they may not contain."""

from __future__ import annotations

import re
from pathlib import Path

Files = tuple[Path, ...]

LINES_MOST = 400
PLACES = {
    ".ci", "CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "benchmarks", "cpp", "docs",
    "engine", "examples", "pyproject.toml", "tests",
}  # fmt: skip
# Such a name says nothing of its subject, so everything without one of its own ends up there.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
# Spelled so that this file does not contain what it looks for.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")


def test_the_top_level_holds_only_what_belongs_there(files: Files) -> None:
    strangers = {file.parts[0] for file in files if not file.parts[0].startswith(".")} - PLACES
    assert strangers == set()


def test_a_file_has_one_subject(root: Path, files: Files) -> None:
    source = {".py", ".pyi", ".cpp", ".hpp", ".h"}
    lengths = {
        str(file): len((root / file).read_text().splitlines())
        for file in files
        if file.parts[0] in ("engine", "cpp") and file.suffix in source
    }
    assert lengths, "no source file was found, so nothing was checked"
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MOST} == {}


def test_a_name_says_what_is_inside(files: Files) -> None:
    assert [str(file) for file in files if {Path(part).stem.lower() for part in file.parts} & EMPTY_NAMES] == []


def test_nothing_is_left_for_later(root: Path, files: Files) -> None:
    unfinished = []
    for file in files:
        try:
            text = (root / file).read_text()
        except UnicodeDecodeError:
            continue
        unfinished += [f"{file}: {line.strip()}" for line in text.splitlines() if UNFINISHED.search(line)]
    assert unfinished == []
