"""Run a program that ends when we end, however we end. Started as ``python tether.py PROGRAM ARGUMENTS``.

Standard library only: it starts in a few milliseconds with ``-I -S``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run the command; its exit code. The end of standard input ends it at once."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_parent() -> None:
        while os.read(0, 1 << 10):
            pass
        program.send_signal(signal.SIGKILL)

    threading.Thread(target=end_with_parent, daemon=True).start()
    # Ctrl-C in a terminal reaches the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return program.wait()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # A plain exit would wait for the thread that reads.
    os._exit(code if code >= 0 else 128 - code)
