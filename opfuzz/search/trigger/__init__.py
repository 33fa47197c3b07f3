"""Trigger inference: what may change around a minimal call before its fault is gone."""

from opfuzz.search.trigger.asking import PROBES, Shown, Spent
from opfuzz.search.trigger.infer import Probes, drive, infer

__all__ = ["PROBES", "Probes", "Shown", "Spent", "drive", "infer"]
