"""Mutants of torch: each file holds the list MUTANTS of one class of faults, written as a user's file would be."""
