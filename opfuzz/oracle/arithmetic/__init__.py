"""Rules of balls for one element at a time: arithmetic, choices and elementary functions."""
