"""Bring-up of a device that nobody has tried: what it cannot do, found out in a minute, and what runs make of it."""
