from __future__ import annotations

import signal
import subprocess
import sys

from tests.supervisor.groups import is_alive, until


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)


def test_a_process_whose_parent_is_gone_already_ends_at_once() -> None:
    someone_else = 1 << 22  # above every process number of Linux, so never the parent

    ended = run(
        "import signal, time; from portal import lifeline\n"
        f"lifeline.end_with_parent({someone_else}, signal.SIGTERM); time.sleep(20)"
    )

    assert ended.returncode == -signal.SIGTERM


def test_without_the_kernel_s_help_the_parent_is_looked_at_every_second() -> None:
    child = (
        "import os, signal; from portal import lifeline\n"
        "parent = os.getppid(); print(os.getpid(), flush=True)\n"
        "lifeline._look_after(parent, signal.SIGKILL)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout as lines:
        pid = int(lines.readline())

        parent.kill()
        parent.wait()

        until(lambda: not is_alive(pid))


def test_memory_is_kept_private() -> None:
    ended = run(
        "import ctypes, resource; from portal import lifeline\n"
        "lifeline.keep_memory_private()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )

    assert ended.stdout == "(0, 0) 0\n"  # 3 is PR_GET_DUMPABLE
