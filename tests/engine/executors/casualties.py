"""Work that ends its process in every way a kernel can; workers import it by name."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import Task, note


def work(state: list[str], item: Any) -> Any:
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
        case "calls":
            for _ in range(12):
                note("a call")
                time.sleep(0.3)
                note("")
            return "made" * 2
        case "parent":
            return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
        case "import":
            sys.path.insert(0, str(Path(__file__).parent / "slow"))
            sys.modules.pop("slow_to_load", None)
            import slow_to_load

            return slow_to_load.VALUE
        case "starved":  # twenty times 10 ms of work, as one that has a tenth of a processor does it
            for _ in range(20):
                end = time.process_time() + 0.01
                while time.process_time() < end:
                    pass
                time.sleep(0.09)
            return "done" * 2
        case "spin":
            while True:
                pass
        case "hang":
            time.sleep(600)
        case "hang with the lock held":
            ctypes.PyDLL(None).sleep(600)
        case "raise":
            raise ValueError("a bug of opfuzz")
        case "mistake":
            raise OpfuzzError("x.yaml:3: a mistake of the user's")
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
        case "setting":
            return os.environ.get("OPFUZZ_SETTING", "none")
        case "prepared":
            return list(state)
        case "loaded":
            return "colorsys" in sys.modules
    return item * 2


def prepare() -> list[str]:
    """What a process sets up."""
    return ["yes"]


def fail() -> list[str]:
    """Set-up that cannot."""
    raise ValueError("no framework here")


def die() -> list[str]:
    """Set-up that ends its process."""
    os._exit(5)


def count(state: list[str], item: tuple[Path, int]) -> int:
    """Leaves one line a call in a file; number 3 aborts."""
    path, number = item
    with path.open("a") as file:
        file.write(f"{number}\n")
    if number == 3:
        os.abort()
    return number


@dataclass(frozen=True)
class Hardship(Task[list[str], Any, Any]):
    """Work of either kind above."""

    function: Callable[[list[str], Any], Any] = work
    timeout: float = 20.0
    call_seconds: float | None = None
    memory: int | None = None
    modules: tuple[str, ...] = ()
    setting: str = ""
    prepare: Callable[[], list[str]] = prepare
    needed: Mapping[Any, frozenset[str]] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"OPFUZZ_SETTING": self.setting} if self.setting else {}

    @property
    def call_timeout(self) -> float:
        return self.timeout if self.call_seconds is None else self.call_seconds

    def needs(self, item: Any) -> frozenset[str]:
        return self.needed.get(item, frozenset())

    def describe(self, item: Any) -> str:
        return f"item {item}"

    def set_up(self) -> list[str]:
        return self.prepare()

    def work(self, state: list[str], item: Any) -> Any:
        return self.function(state, item)
