"""Every threshold of judging, once, with what decided it."""

from __future__ import annotations

# Honest backends stay below it under wide; `benchmarks/excess.py` prints their maxima by op and regime.
EXCESS_LIMIT = 3.0
# A result that is as good as inputs rounded a few times. Beyond it relative accuracy is lost somewhere: normwise.
CONDITIONED_LIMIT = 16.0
ILL_CONDITIONED = 0.95  # a model that can judge fewer than 5 % of the elements explains nothing
LANES = (1, 8, 32)  # sums strictly sequentially, and in as many lanes, as honest libraries add up
# In a half format another meaning must fit like a correctly rounded one, on elements where it makes a difference:
# a few coarse results are soon met by chance.
HALF_VARIANT_EXCESS, HALF_VARIANT_ELEMENTS = 1.25, 3
# What float32 functions inside float64 lose resembles many a meaning by chance, but not at 2^20 roundings.
FLOAT64_APART = 2.0**20
NATURAL_ROUNDOFFS = 64  # how close a finite result must be to IEEE arithmetic's where mathematics has NaN
LOOSE_SHARE = 2.0**-10  # an exact value may be as uncertain as this share of the error that is measured with it
# A rounding on the way that one path has and another has not, as in torch.add(x, y, alpha=a), shows where terms cancel.
COMMON = 0.01  # of the elements: what so many show is no chance of their values
SWITCH = 4.0  # times the excess: rounding to a half format here and not there, not two results around the limit
UNRESOLVED_SHARE = 0.001  # of the elements of a row, beyond which it is not judged
# Diagnosis.
FLOAT64_LEAST_SHARE = 2.0**-13  # of a lower precision's allowance: errors that are smaller are not its own
ROUNDINGS = 4.0  # of the inputs, that do as much as the error: a rounding on the way, not another kind of arithmetic
ORDINARY_SIZE, ORDINARY_ELEMENTS = 8, 2**18  # of each dim at least, and of all inputs at most, where others are tried
ORDINARY_WORK = 2**18  # of the product of all dims
MOST_ELEMENTS = 2**18  # of inputs and output, where the exact result is computed once more for each meaning
ALIKE = 4.0  # between the rms errors of two results that err in the same way
NAMED_SHARE = 0.25  # of the cases of a verdict: a named cause this common is told rather than that others have none
