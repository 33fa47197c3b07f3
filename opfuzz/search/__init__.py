"""Searches over calls, guided by answers: the worst, all, the smallest, the boundary."""
