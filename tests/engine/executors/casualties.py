"""Work that ends its process in every way a kernel can; workers import it by name."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from opfuzz.engine.executors import note

prepared: list[str] = []


def work(item: Any) -> Any:
    """Twice a number; a word is done."""
    note(f"item {item}")
    match item:
        case "abort":
            os.abort()
        case "segfault":
            ctypes.string_at(1)
        case "exit":
            os._exit(3)
        case "sys.exit":
            sys.exit(4)
        case "killed":
            os.kill(os.getpid(), 9)
        case "talk":
            os.abort() if os.write(2, b"a warning\n  what():  no such kernel\n") else None
        case "whisper":
            print("half a line", end="", flush=True)
            os._exit(6)
        case "print":
            print("much")
            os.write(1, b"more\n")
            return "printed" * 2
        case "slow":
            time.sleep(0.1)
        case "parent":
            return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
        case "hang":
            time.sleep(600)
        case "hang with the lock held":
            ctypes.PyDLL(None).sleep(600)
        case "raise":
            raise ValueError("a bug of opfuzz")
        case "unpicklable":
            return lambda: None
        case "no memory":
            raise MemoryError
        case "eat":
            block = bytearray(2**29)
            block[:: 2**12] = b"x" * len(block[:: 2**12])
            time.sleep(600)
        case "child":
            subprocess.Popen(["sleep", "601"])
            time.sleep(600)
        case "pid":
            return os.getpid()
        case "threads":
            return os.environ["OMP_NUM_THREADS"]
        case "prepared":
            return list(prepared)
    return item * 2


def counted(item: tuple[Path, int]) -> int:
    """Leaves one line a call in a file; number 3 aborts."""
    path, number = item
    with path.open("a") as file:
        file.write(f"{number}\n")
    if number == 3:
        os.abort()
    return number


def prepare() -> None:
    """Initialiser."""
    prepared.append("yes")


def fail() -> None:
    """Initialiser that cannot."""
    raise ValueError("no framework here")


def die() -> None:
    """Initialiser that ends its process."""
    os._exit(5)
