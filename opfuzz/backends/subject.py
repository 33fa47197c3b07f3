"""Which implementation is under test: `torch:cpu`, `torch:cpu+compile`, `mlx:gpu/fast`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opfuzz.backends.base import Backend
from opfuzz.core.errors import OpfuzzError, did_you_mean

FORM = re.compile(r"(?P<backend>[\w.-]+):(?P<device>\w+)(\+(?P<mode>\w+))?(/(?P<implementation>[\w.-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """Backend, device, mode ('' is eager), and which of several implementations ('' is the only one)."""

    backend: str
    device: str
    mode: str = ""
    implementation: str = ""

    def __str__(self) -> str:
        mode = f"+{self.mode}" if self.mode else ""
        implementation = f"/{self.implementation}" if self.implementation else ""
        return f"{self.backend}:{self.device}{mode}{implementation}"

    @staticmethod
    def parse(text: str) -> Subject:
        """The subject that is written `backend:device`, `backend:device+mode` or with `/implementation` after them.

        Raises OpfuzzError if it is written otherwise.
        """
        match = FORM.fullmatch(text)
        if match is None:
            raise OpfuzzError(f"subject '{text}': write it as backend:device, such as torch:cpu, mlx:gpu/fast")
        return Subject(**{part: word or "" for part, word in match.groupdict().items()})


def resolve(text: str, backends: Mapping[str, Backend]) -> tuple[Subject, Backend]:
    """The subject and its backend, both usable on this machine.

    Raises OpfuzzError if the backend, device or mode is unknown or absent here.
    """
    subject = Subject.parse(text)
    if subject.backend not in backends:
        raise OpfuzzError(_unknown(text, "backend", subject.backend, backends))
    backend = backends[subject.backend]
    if reason := backend.absent():
        raise OpfuzzError(f"subject '{text}': {reason}")
    devices = backend.devices()
    if subject.device not in devices:
        raise OpfuzzError(_unknown(text, "device", subject.device, devices))
    if reason := devices[subject.device]:
        raise OpfuzzError(f"subject '{text}': no {subject.device} on this machine: {reason}")
    if subject.mode not in backend.modes:
        raise OpfuzzError(_unknown(text, "mode", subject.mode, [mode for mode in backend.modes if mode]))
    return subject, backend


def _unknown(text: str, part: str, word: str, known: Mapping[str, object] | list[str]) -> str:
    guess = did_you_mean(word, known) or f"; known: {', '.join(known) or 'none'}"
    return f"subject '{text}': unknown {part} '{word}'{guess}"
