"""The machine (Linux): what it is, which cores there are, and who keeps them busy."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import ssl
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")

# The columns of a cpu line of /proc/stat that are not idleness: user, nice, system, irq, softirq, steal.
# Guest time is part of user time already. Source: proc_stat(5).
_BUSY: Final = (0, 1, 2, 5, 6, 7)


def describe() -> dict[str, Any]:
    """Facts that a figure is worth nothing without."""
    packages = {
        name: importlib.metadata.version(name) for name in ("aiohttp", "uvloop", "orjson", "cryptography")
    }
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "packages": packages,
        "loadAverage": os.getloadavg(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def cores() -> tuple[int | None, int | None]:
    """The core for the server and the one for the loader; None where there is only one for both."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def core_seconds(core: int | None) -> float | None:
    """The seconds for which a core was busy since the machine's start, or None where that cannot be known.

    Those that the hypervisor gave to other machines are among them.
    """
    if core is None:
        return None
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name == f"cpu{core}":
            return sum(int(columns[i]) for i in _BUSY) / _TICKS
    return None


def process_tree(pid: int) -> list[int]:
    """A process and everything it started, as far as it is alive."""
    tree = [pid]
    for parent in tree:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                tree += map(int, children.read_text().split())
    return tree


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all it started."""
    return sum(map(own_cpu_seconds, process_tree(pid)))


def own_cpu_seconds(pid: int) -> float:
    """User and system time of one process. Source: proc_pid_stat(5)."""
    # The program's name stands in parentheses and may hold anything.
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all it started; pages that they share count for each."""
    total = 0
    for process in process_tree(pid):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
