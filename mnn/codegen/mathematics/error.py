"""The error function, its complement and its inverse, and the Gaussian error linear unit.

exp(y**2) * erfc(y) falls from 1 so smoothly that a quotient of polynomials gives it for all y >= 0
(a fit by C. Lawson's method); the factor exp(-y**2) keeps the tails precise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import Value
from mnn.codegen.mathematics.exponential import DECAY_SHIFT, decay_of_square
from mnn.codegen.mathematics.floats import DOUBLE, SINGLE, copy_sign, layout
from mnn.codegen.mathematics.logarithm import log

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["erf", "erfc", "erfinv", "gelu"]

# exp(y**2) * erfc(y) = P / Q for 0 <= y <= 10.4 (float32), 28 (float64)
_SCALED_P = {
    SINGLE: [0.032807305, 0.22935799, 0.73198783, 1.2388778, 1.0],
    DOUBLE: [
        1.4377253947997748e-05,
        0.0003162796588482228,
        0.0034159076130518603,
        0.023559682177249727,
        0.11410556369110327,
        0.40394856014018027,
        1.057244365623941,
        2.0227297692961606,
        2.7196285437335797,
        2.3422738896768527,
        1.0,
    ],
}
_SCALED_Q = {
    SINGLE: [0.058148757, 0.40655226, 1.32606506, 2.40314364, 2.36725736, 1.0],
    DOUBLE: [
        2.5483019125569607e-05,
        0.0005605910992895315,
        0.006067280112584861,
        0.04203874495399516,
        0.20526137346626994,
        0.7365791124319782,
        1.9720448143228249,
        3.923007329099748,
        5.663695232418056,
        5.635841149211863,
        3.4706530567723655,
        1.0,
    ],
}
# (Phi(x) - 1/2) / x = P / Q in x**2 for |x| <= 5.55, float32; beyond, Phi is 0 or 1.
_PHI_LIMIT = 5.55
_PHI_P = [2.2610427e-08, 6.294369e-06, 0.00016669866, 0.004664033, 0.033689592, 0.39894226]
_PHI_Q = [1.18913943e-06, 7.27344741e-05, 0.00187274918, 0.0285440572, 0.251113623, 1.0]
# erf(x) / x = P / Q in x**2 for |x| <= 3.92, where erf is 1 in float32.
_ERF_LIMIT = 3.92
_ERF_P = [2.0465911e-06, 0.00028485182, 0.003771738, 0.052766856, 0.19057108, 1.1283791]
_ERF_Q = [3.8053855e-05, 0.00116370909, 0.0149815455, 0.114173874, 0.502221882, 1.0]
# erf(x) / x in x**2 for |x| <= 1, float64.
_ERF_SMALL = [
    -7.768631603009701e-10,
    1.370470581236866e-08,
    -1.6204733000644746e-07,
    1.6446904371860057e-06,
    -1.4924691776601541e-05,
    0.000120552923664167,
    -0.000854832588244731,
    0.0052239776049508215,
    -0.026866170642933267,
    0.11283791670942668,
    -0.3761263890318346,
    1.1283791670955126,
]
_FARTHEST = {SINGLE: 10.4, DOUBLE: 27.5}
"""Where erfc has become 0."""
_SQRT_HALF = 0.7071067811865476

# M. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
# Statistics 37 (1988): PPND7 and PPND16.
_CENTRE_P = {
    SINGLE: [59.109374720, 159.29113202, 50.434271938, 3.3871327179],
    DOUBLE: [
        2509.0809287301226727,
        33430.575583588128105,
        67265.770927008700853,
        45921.953931549871457,
        13731.693765509461125,
        1971.5909503065514427,
        133.14166789178437745,
        3.3871328727963666080,
    ],
}
_CENTRE_Q = {
    SINGLE: [67.187563600, 78.757757664, 17.895169469, 1.0],
    DOUBLE: [
        5226.4952788528545610,
        28729.085735721942674,
        39307.895800092710610,
        21213.794301586595867,
        5394.1960214247511077,
        687.18700749205790830,
        42.313330701600911252,
        1.0,
    ],
}
_TAIL_P = {
    SINGLE: [0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777],
    DOUBLE: [
        7.7454501427834140764e-4,
        0.022723844989269184583,
        0.24178072517745061177,
        1.2704582524523683826,
        3.6478483247632046050,
        5.7694972214606914055,
        4.6303378461565452959,
        1.4234371107496835773,
    ],
}
_TAIL_Q = {
    SINGLE: [0.12021132975, 0.73700164250, 1.0],
    DOUBLE: [
        1.0507500716444168432e-9,
        5.4759380849953449460e-4,
        0.015198666563616457197,
        0.14810397642748007459,
        0.68976733498510000455,
        1.6763848301838038494,
        2.0531916266377588219,
        1.0,
    ],
}
_FAR_TAIL_P = [
    2.0103343992922882327e-7,
    2.7115555687434875782e-5,
    1.2426609473880784386e-3,
    0.026532189526576123093,
    0.29656057182850489123,
    1.7848265399172913358,
    5.4637849111641143699,
    6.6579046435011037772,
]
_FAR_TAIL_Q = [
    2.0442631033899397856e-15,
    1.4215117583164458887e-7,
    1.8463183175100546818e-5,
    7.8686913114561325910e-4,
    0.014875361290850614853,
    0.13692988092273580531,
    0.59983220655588793769,
    1.0,
]


def _tail(k: Body, y: Value) -> Value:
    """Return erfc(y) for 0 <= y <= _FARTHEST; NaN gives any number."""
    form = layout(k)
    top = k.mul(k.polynomial(y, _SCALED_P[form]), decay_of_square(k, y, 1.0))
    ratio = k.div(top, k.polynomial(y, _SCALED_Q[form]))
    return k.mul(ratio, k.const(2.0 ** -DECAY_SHIFT[form]))


def erfc(k: Body, x: Value) -> Value:
    """Return 1 - erf(x) within 7 ulp (float64: 9), without cancellation."""
    tail = _tail(k, k.at_most(k.abs(x), _FARTHEST[layout(k)]))
    tail = k.pick(k.compare("eq", x, x), tail, x)
    return k.pick(k.compare("lt", x, 0.0), k.sub(k.const(2.0), tail), tail)


def erf(k: Body, x: Value) -> Value:
    """Return the error function within 6 ulp."""
    form = layout(k)
    if form is SINGLE:
        x = k.at_most(k.at_least(x, -_ERF_LIMIT), _ERF_LIMIT)
        square = k.mul(x, x)
        top = k.mul(x, k.polynomial(square, _ERF_P))
        # Rounding must not lead beyond 1.
        return k.at_most(k.at_least(k.div(top, k.polynomial(square, _ERF_Q)), -1.0), 1.0)
    a = k.at_most(k.abs(x), _FARTHEST[form])
    large = copy_sign(k, k.sub(k.const(1.0), _tail(k, a)), x)
    small = k.mul(x, k.polynomial(k.mul(x, x), _ERF_SMALL))
    # NaN goes to the left, too.
    return k.pick(k.compare("ge", a, 1.0), large, small)


def gelu(k: Body, x: Value) -> Value:
    """Return x * Phi(x), the Gaussian error linear unit.

    float64: max(x, 0) - |x| Phi(-|x|), within 8 ulp. float32, where speed matters most: Phi is 1/2
    plus a quotient of polynomials. The error is below 3e-7 |x|, which is 5 ulp for x > -1 but many
    to the left, as the result falls; it is -0.0 below -5.55.
    """
    if layout(k) is SINGLE:
        clipped = k.at_most(k.at_least(x, -_PHI_LIMIT), _PHI_LIMIT)
        square = k.mul(clipped, clipped)
        top = k.mul(clipped, k.polynomial(square, _PHI_P))
        ratio = k.div(top, k.polynomial(square, _PHI_Q))
        result = k.mul(x, k.at_most(k.add(ratio, k.const(0.5)), 1.0))
        return k.pick(k.compare("lt", x, -_PHI_LIMIT), -0.0, result)
    # Beyond this, the second term is 0.
    a = k.at_most(k.abs(x), 38.8)
    y = k.mul(a, k.const(_SQRT_HALF))
    top = k.mul(k.polynomial(y, _SCALED_P[DOUBLE]), k.mul(a, k.const(-0.5)))
    top = k.mul(top, decay_of_square(k, a, 0.5))
    lower = k.div(top, k.polynomial(y, _SCALED_Q[DOUBLE]))
    lower = k.mul(lower, k.const(2.0 ** -DECAY_SHIFT[DOUBLE]))
    # The negative zero makes -0.0 of what is too small and negative; NaN comes from here, too.
    return k.add(k.at_least(x, -0.0), lower)


def erfinv(k: Body, x: Value) -> Value:
    """Return the inverse error function within 6 ulp: infinite at 1 and -1, NaN beyond."""
    form = layout(k)
    a = k.abs(x)
    r = k.fma(k.mul(x, k.const(-0.25)), x, k.const(0.180625))
    top = k.mul(k.mul(x, k.const(_SQRT_HALF / 2)), k.polynomial(r, _CENTRE_P[form]))
    centre = k.div(top, k.polynomial(r, _CENTRE_Q[form]))
    rest = k.mul(k.sub(k.const(1.0), a), k.const(0.5))
    root = k.sqrt(k.neg(log(k, rest)))
    r = k.sub(root, k.const(1.6))
    top, bottom = k.polynomial(r, _TAIL_P[form]), k.polynomial(r, _TAIL_Q[form])
    if form is DOUBLE:
        r = k.sub(root, k.const(5.0))
        far = k.compare("gt", root, 5.0)
        top = k.pick(far, k.polynomial(r, _FAR_TAIL_P), top)
        bottom = k.pick(far, k.polynomial(r, _FAR_TAIL_Q), bottom)
    tail = k.mul(k.div(top, bottom), k.const(_SQRT_HALF))
    tail = k.pick(k.compare("eq", a, 1.0), k.const(float("inf")), tail)
    return k.pick(k.compare("le", a, 0.85), centre, copy_sign(k, tail, x))
