"""Becomes another program that the kernel kills when the one that started it ends (Linux only).

    python die_with_parent.py PARENT_PID PROGRAM ARGUMENT...

A program of its own rather than `preexec_fn`: code between fork and exec can deadlock in a process with
threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Runs as described above; returns only by way of an exception."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        # Survives the exec below.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(f"the parent {parent} ended before {program[0]} could start")
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
