"""Processes that end when the process that started them is gone, and that keep their memory to themselves.

Linux does both by prctl(2). Elsewhere the parent is looked at every second, and core files alone are off.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_LOOK_SECONDS = 1.0


def end_with_parent(parent: int, with_signal: signal.Signals) -> None:
    """From now on this process gets `with_signal` when its parent, the process `parent`, ends.

    Called from the main thread of a process whose parent started it from its own main thread: Linux takes the
    end of the starting thread for the end of the parent. If the parent is gone already, the signal comes now.
    """
    if not _prctl(_PR_SET_PDEATHSIG, with_signal):
        threading.Thread(target=_look_after, args=(parent, with_signal), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), with_signal)


def keep_memory_private() -> None:
    """No core files, and no look into memory or environment from other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def _look_after(parent: int, with_signal: signal.Signals) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_LOOK_SECONDS)
    os.kill(os.getpid(), with_signal)
