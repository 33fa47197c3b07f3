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
KEPT_ROUNDINGS = 2.0  # to a half format, beside the one of what is kept for the way back
LEAST_REPEATS, MOST_ASKED = 2.0, 8  # of equal terms in a sum; elements beyond the limit of which that is asked
NATURAL_ROUNDOFFS = 64  # how close a finite result must be to IEEE arithmetic's where mathematics has NaN
LOOSE_SHARE = 2.0**-10  # an exact value may be as uncertain as this share of the error that is measured with it
# A rounding on the way that one path has and another has not, as in torch.add(x, y, alpha=a), shows where terms cancel.
CALLED_ROWS = 4  # of a batch that are called one by one
SHIFT = 17  # elements by which a vector is moved at most: more than a vector register holds of float32
COMMON, COMMON_ELEMENTS = 0.01, 3  # share and number of elements: what so many show is no chance of their values
SWITCH = 4.0  # times the excess: rounding to a half format here and not there, not two results around the limit
UNRESOLVED_SHARE = 0.001  # of the elements of a row, beyond which it is not judged
# Diagnosis.
ROUNDINGS = 4.0  # of the inputs, that do as much as the error: a rounding on the way, not another kind of arithmetic
ORDINARY_SIZE, ORDINARY_ELEMENTS = 8, 2**18  # of each dim at least, and of all inputs at most, where others are tried
MASKED_SHARE = 0.75  # of a mask that is drawn, which takes part
NEIGHBOUR = 64.0  # between values of a param that must be told apart
FEW_DIMS = 2  # of each dim, where others are tried of which too few are at fault by what many do together
BEYOND_TILES = 67  # of one dim, where others are tried: kernels work in tiles of up to 64
ORDINARY_WORK = 2**18  # of the product of all dims
MOST_STEPS = 256  # of all forms of a formula, each of which is rounded once for every format
MOST_ELEMENTS = 2**18  # of inputs and output, where the exact result is computed once more for each meaning
ALIKE = 4.0  # between the rms errors of two results that err in the same way
BIASED, LEAST_SPREAD = 0.5, 8  # of the rms error, that its mean may exceed what roundings have; on so many elements
NAMED_SHARE = 0.25  # of the cases of a verdict: a named cause this common is told rather than that others have none
# Two causes under one verdict: times the limit that a call must be beyond what the first explains, which is an upper
# bound already; and the excess from which on it is another cause even if that has no name.
REFUTED, FAR = 4.0, 2.0**10
# Diagnosis: with which precision.
LEAST_LEVELS, OFF_GRID = 16, 0.02  # so many values lie so near to one of 256 grids by chance once in 10^20
LEAST_UNHELD = 3  # elements that a narrower format could not hold, before all of them lying in it is no chance
CERTAIN_BITS = 24  # bits that agree by chance once in 2^24
JITTERS = 3  # other inputs that round to the same, each of which must keep every bit
MOVED = 1.25  # times an input: moves the result of any op that heeds it
MET_SHARE, COVERED_SHARE = 0.75, 0.95  # of the wrong elements, and of all, that a cause must predict
TELLING_EXCESS = 1.0  # of the output or of a prediction: honest arithmetic is below it nearly always
LEAST_MET = 3  # elements on all calls together: one is soon met by chance
BETTER = 4.0  # times smaller must the excess be against rounded inputs, for that to be told
BELOW_FLOAT16, BEYOND_FLOAT16 = 2.0**10, 2.0**17  # times ordinary values: float16 holds the first, not the second
FAR_BEYOND_FLOAT16 = 2.0**24, 1.3 * 2.0**30  # nor these, of other last digits each
FAR_SHARE = 2.0**-4  # of the largest number: no right result is so far from what is meant, whatever cancels
# Of the sizes that are tried, for which a number is right though a sum may overflow: terms of both signs cancel.
MOST_IDLE = 12
WELL_BEYOND = 1.25  # times the largest number: a sum of hundreds of terms loses less, rounded each time
SMALLER = 2.0**-3  # times ordinary values: exp(-10) is seen beside exp(x) then, and not in float32 beside exp(6)
TINY = 2.0**-40  # times ordinary values: of such numbers nothing is left beside 1 in any format but float64
LEAST_POWER, POWER_STEP = -4, 1.25  # of two, times ordinary values: each from here, further on times this
MOST_SOLVED = 2**14  # elements of inputs and output, where the exact result is computed for a hundred values of a param
SAME_QUOTIENT = 0.02  # between effective values, and what they are said to grow with
# Sizes of dims that are told apart; the second for what comes in groups. The fifth is often that of a kernel.
APART = ((5, 7, 11, 13, 3, 17), (5, 8, 12, 16, 3, 20))
MOST_MISTAKES, MOST_MISTAKEN = 512, 2**16  # on the way back, each of which is looked for; elements of a call for that
MOST_CUTS = 24  # steps of a formula, each of which is taken for a constant in turn
# Diagnosis: absolute accuracy. Polynomials and 1 - f(x), in honest arithmetic, stay below so many roundings of 1.
ABSOLUTE_ROUNDINGS = 8.0
LOST_BELOW, LOST_SHARE = 64.0, 0.25  # times smaller than the largest error, a result has lost at least this share
SMALL, SMALL_IN_HALF = 2.0**-8, 0.5  # of a result, beside 1
SMALL_ON_GRID = 2.0**-4  # so small a number has digits that a number between 1/4 and 1 has not
NEARER = 2.0  # times nearer to one formula than to the exact result, in the rms: that formula is seen
# Diagnosis: sums. A sum of ones ends at a power of two; a power is guessed from a quotient of two ends.
SHORT_SUM = 0.1  # of the exact sum, that must be missing
NEAR_POWER = 0.04  # of the quotient's logarithm, and of an end as a share of it
SUM_EXACT = 2.0**-12  # half a unit of float16: its sum up to 1025 is exact, bfloat16's ends at 256
LEAST_GROWTH = 4.0  # an error that grows by less while the terms grow 64 times is not that of a sequential sum
SUM_ALIKE = 2.0  # between the subject's error and that of the order it is said to use
MOST_CONSTANT = 2**20  # elements of a call on ones
# Product of all dims of such a call: a convolution lays out every place that its kernel looks at, 4 GiB of them in all
# where 18002 channels meet a kernel of 20 at 50 places.
MOST_CONSTANT_WORK = 2**23
# Diagnosis: where.
REPETITIONS = 4  # of an equal call, of which one gives something else
LEAST_SIZE = 4  # of an axis of which a part can be called one
DENSE_SHARE = 0.5  # of the elements in a part, for the part to be what is wrong
MOST_CHOICES = 8  # values of a parameter that are tried one by one
PROBES = 1024  # values of each sign and scale
CLASSES_SHOWN = 3  # pairs of what was returned and what is right
LANDMARK_NEAR = 0.02  # of the value from which on something overflows
HISTORY_STEP, HISTORY_OTHERS = 1024, 2  # between sizes that nothing used before; largest size of all other dims
