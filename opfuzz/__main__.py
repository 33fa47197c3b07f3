"""`python -m opfuzz`, and the command `opfuzz`: as little as can be heard before all else is imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """The command line; Ctrl-C or SIGTERM before it is ready ends the process at once, with 130 or 143.

    An exception would not do: it would leave a traceback of whatever was being imported, or be lost in it.
    """
    if os.name == "nt":  # resource limits and locks of files are POSIX's
        sys.exit(_refuse("opfuzz runs on Linux and macOS; on Windows install it in WSL, and run it there"))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    usual = (signal.default_int_handler, signal.SIG_DFL)
    heard = [number for number, handler in before.items() if handler in usual]  # a parent may want them ignored
    for number in heard:
        signal.signal(number, _end)
    from opfuzz.cli import main as run

    try:
        for number in heard:
            signal.signal(number, before[number])
        run()
    except KeyboardInterrupt as error:  # between those who hear it
        sys.exit(128 + (signal.SIGINT if type(error) is KeyboardInterrupt else signal.SIGTERM))


def _refuse(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 2


def _end(number: int, frame: FrameType | None) -> None:
    sys.stdout.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    main()
