"""Becomes another program that does not outlive its parent.

    python bound.py PARENT SIGNAL PROGRAM [ARGUMENT...]

The kernel sends SIGNAL to the program when the process PARENT ends, however it ends
(PR_SET_PDEATHSIG of prctl(2), which execve(2) keeps). Run as a file of its own: it imports nothing
of Muniment, and what it sets is set in a process that has no threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Binds this process to its parent and becomes the program."""
    parent, number, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit("the parent ended before")  # and no signal would come any more
    os.execvp(command[0], command)  # noqa: S606 (no shell is what is wanted)


if __name__ == "__main__":
    main()
