"""A part to supervise: `part.py MODE DIARY NAME`; what happens to it stands in the diary, a line each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from portal import lifeline

mode, diary, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


def note(what: str) -> None:
    with diary.open("a") as file:
        file.write(f"{name} {what} {os.getpid()}\n")


def end_cleanly(*_: object) -> None:
    note("stopped")
    sys.exit(0)


def grandchild(parent: int) -> None:
    lifeline.end_with_parent(parent, signal.SIGKILL)
    note("grandchild")
    time.sleep(30)


if mode == "obedient":
    signal.signal(signal.SIGTERM, end_cleanly)
elif mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif mode == "family":
    lifeline.end_with_parent(os.getppid(), signal.SIGKILL)
    context = multiprocessing.get_context("fork")
    context.Process(target=grandchild, args=(os.getpid(),)).start()

note("started")
if mode == "mortal":
    sys.exit(3)
time.sleep(30)
