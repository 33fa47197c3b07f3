"""Climbs and sweeps, in words and pictures."""
