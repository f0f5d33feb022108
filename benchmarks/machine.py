"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_MENTIONED = ("avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vbmi2", "avx512vbmi", "avx512_bitalg")


def machine() -> dict[str, str]:
    """The processor, its caches and vectors, memory and system, as text by name."""
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "caches": _caches(),
        "vectors": ", ".join(flag for flag in _MENTIONED if flag in _flags()),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "Python": platform.python_version(),
    }


def processor() -> str:
    """The processor's own name."""
    return _cpuinfo("model name") or platform.processor()


def _flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def _cpuinfo(name: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _caches() -> str:
    found = []
    for place in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((place / name).read_text().strip() for name in ("level", "type", "size"))
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found.append(f"L{level}{suffix} {size}")
    return ", ".join(found)
