"""C++ compilers, this machine's and those for others: found once, called with argument lists, their flags recorded."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quickthorn.errors import ToolchainError
from quickthorn.forest.emission import Vectors
from quickthorn.serving.target import runnable_targets


@dataclass(frozen=True)
class Target:
    """A CPU level: the compiler's arguments for it, and the vectors its forests are laid out for."""

    flags: tuple[str, ...]
    vectors: Vectors


# CPU levels by machine, the least demanding first. The highest asks for three extensions beyond the psABI's x86-64-v4,
# which every server processor since 2019 that has AVX-512 brings.
TARGETS = {
    "x86_64": {
        "x86-64-v2": Target(("-march=x86-64-v2",), "portable"),
        "x86-64-v3": Target(("-march=x86-64-v3",), "avx2"),
        "x86-64-v4": Target(("-march=x86-64-v4", "-mavx512vbmi", "-mavx512vbmi2", "-mavx512bitalg"), "avx512"),
    },
    "aarch64": {"armv8-a": Target(("-march=armv8-a",), "portable")},
}
_CANDIDATES = ("c++", "g++", "clang++")
_CROSS_CANDIDATES = ("{machine}-linux-gnu-g++", "{machine}-linux-gnu-c++")
_TIME_LIMIT_S = 600
# Variables by which compiler drivers find their parts, headers and libraries.
_SETTINGS = ("GCC_EXEC_PREFIX", "COMPILER_PATH", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")

COMPILE_FLAGS = (
    "-std=c++20",
    "-O3",
    "-fPIC",
    # Fusing a multiply and an add changes the last bit, and with it a margin.
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fno-rtti",
    # Vectors are passed between inlined functions only: how another compiler would pass them is of no account.
    "-Wno-psabi",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
)
# Contributions are no margins: where there is an operation that multiplies and adds, they take it. Their loops are
# written out as vectors, and what -O3 does beyond -O2 makes them slower by 1 to 3 %.
CONTRIBUTION_FLAGS = ("-ffp-contract=fast", "-O2")
LINK_FLAGS = (
    "-shared",
    "-s",
    "-Wl,--build-id=none",
    "-Wl,--no-undefined",
    "-Wl,-z,relro,-z,now,-z,noexecstack",
)


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler driver: its path and the first line of its ``--version``."""

    path: str
    version: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells this compiler from another, or from itself after an update or with other settings."""
        program = os.stat(self.path)
        settings = tuple((name, os.environ[name]) for name in _SETTINGS if name in os.environ)
        return self.path, self.version, program.st_size, program.st_mtime_ns, settings

    def run(self, arguments: list[str], directory: Path) -> None:
        """Run in ``directory``, with relative names so that no path gets into the output; ToolchainError on failure."""
        try:
            finished = subprocess.run(
                [self.path, *arguments],
                cwd=directory,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIME_LIMIT_S,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolchainError(f"C++ compiler {self.path}: expected it to run, found: {error}") from error
        if finished.returncode != 0:
            said = finished.stderr.splitlines()
            telling = [line for line in said if "error" in line.lower()] or said
            reason = telling[0] if telling else f"exit code {finished.returncode}"
            raise ToolchainError(
                f"C++ compiler {self.path}: expected it to accept the generated source, found: {reason}"
            )


def find_compiler() -> Compiler:
    """The compiler that ``CXX`` names, else c++, g++ or clang++ from the PATH; ToolchainError where there is none."""
    return _found_compiler("CXX", _CANDIDATES, "one for linking the bundle", "install g++ or clang++")


def find_compilers(targets: tuple[str, ...]) -> Mapping[str, Compiler]:
    """The compiler for each of the targets: this machine's for its own, a cross compiler for another machine's.

    For aarch64 that is the one that ``CXX_AARCH64`` names, else aarch64-linux-gnu-g++ or -c++ from the PATH.
    ToolchainError names a machine that there is none for.
    """
    compilers: dict[str, Compiler] = {}
    for machine in dict.fromkeys(map(machine_of, targets)):
        if machine == platform.machine():
            compilers[machine] = find_compiler()
            continue
        candidates = tuple(name.format(machine=machine) for name in _CROSS_CANDIDATES)
        compilers[machine] = _found_compiler(
            f"CXX_{machine.upper()}", candidates, f"one that compiles for {machine}", f"install g++-{machine}-linux-gnu"
        )
    return {target: compilers[machine_of(target)] for target in targets}


def _found_compiler(variable: str, candidates: tuple[str, ...], wanted: str, advice: str) -> Compiler:
    named = os.environ.get(variable)
    path = shutil.which(named) if named else next(filter(None, map(shutil.which, candidates)), None)
    if path is None:
        found = (
            f"{variable}={named!r}, which is not a program" if named else f"none of {', '.join(candidates)} on the PATH"
        )
        raise ToolchainError(f"C++ compiler: expected {wanted}, found {found}; {advice}, or set {variable}")
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolchainError(f"C++ compiler {path}: expected it to state its version, found: {error}") from error
    return Compiler(path, answer.stdout.splitlines()[0].strip() if answer.stdout.strip() else "unknown")


def check_targets(target: str | Sequence[str] | None) -> tuple[str, ...]:
    """The CPU levels to compile for, each machine's least demanding first: the given ones, or all of this machine's.

    Levels of other machines are taken where they are asked for by name. ToolchainError for unknown or repeated ones.
    """
    if target is None:
        machine = platform.machine()
        if machine not in TARGETS:
            raise ToolchainError(f"target: expected a machine of {' or '.join(TARGETS)}, found {machine}")
        return tuple(TARGETS[machine])
    wanted = (target,) if isinstance(target, str) else tuple(target)
    known = tuple(level for levels in TARGETS.values() for level in levels)
    for level in wanted:
        if level not in known or wanted.count(level) > 1:
            found = f"{level!r} twice" if level in known else repr(level)
            raise ToolchainError(f"target: expected one of {', '.join(known)}, or several of them, found {found}")
    if not wanted:
        raise ToolchainError(f"target: expected one or several of {', '.join(known)}, found none")
    return tuple(level for level in known if level in wanted)


def provable_targets(targets: tuple[str, ...], asked: str | Sequence[str] | None) -> tuple[str, ...]:
    """Those that this processor runs, on which what is compiled is proven; ToolchainError where there are none."""
    runnable = runnable_targets(targets)
    if not runnable:
        raise ToolchainError(f"target: expected one that this processor runs, to prove it here, found {asked}")
    return runnable


def machine_of(target: str) -> str:
    """The machine that a CPU level belongs to, as ``platform.machine()`` calls it."""
    return next(machine for machine, levels in TARGETS.items() if target in levels)


def target_flags(target: str) -> tuple[str, ...]:
    """The compiler's arguments for a CPU level."""
    return TARGETS[machine_of(target)][target].flags


def target_vectors(target: str) -> Vectors:
    """The vectors that forests are laid out for at a CPU level."""
    return TARGETS[machine_of(target)][target].vectors
