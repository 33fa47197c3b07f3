"""Numbers as unevaluated sums of two float64, twice as precise as one, each with a proved radius."""
