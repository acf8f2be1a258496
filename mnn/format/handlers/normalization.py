"""Normalisation layers, whose parameters stand in the operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.format.handlers.structure import constant
from mnn.ops import normalization as ops

Array = np.ndarray[Any, Any]


def _external(call: OpCall, count: int) -> list[Array] | None:
    """Return the float32 arrays of an operator that keeps them in the weight file."""
    numbers = call.parameters().external
    if numbers is None or not numbers.size:
        return None
    reader = call.decoder.external
    if reader is None:
        raise FormatError(f"{call.name}: the parameters are in a separate file, and none is known.")
    return [reader.array(chunk, "<f4") for chunk in reader.chunks(numbers, count)]


def _constant(array: Array | None) -> Var | None:
    return None if array is None or not array.size else constant(array)


@decoder("Scale")
def _scale(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    stored = _external(call, 1)
    factor = main.scaleData if stored is None else stored[0]
    bias = main.biasData if stored is None else (stored[1] if len(stored) > 1 else None)
    if factor is None or not factor.size:
        raise FormatError(f"{call.name}: a Scale without factors; the file is damaged.")
    result: Var = ops.scale_channels(
        x, constant(factor), _constant(bias), layout=x.data_format.layout
    )
    return result


@decoder("BatchNorm")
def _batch_norm(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    if main.meanData is None or main.varData is None:
        raise FormatError(f"{call.name}: a BatchNorm without statistics; the file is damaged.")
    result: Var = ops.batch_norm_inference(
        x,
        constant(main.meanData),
        constant(main.varData),
        _constant(main.slopeData),
        _constant(main.biasData),
        epsilon=float(main.epsilon),
        layout=x.data_format.layout,
    )
    return result


@decoder("LayerNorm")
def _layer_norm(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    stored = _external(call, 2)
    gamma = main.gamma if stored is None else stored[0]
    beta = main.beta if stored is None else stored[1]
    both = gamma is not None and beta is not None and gamma.size and beta.size
    axes = (-1,) if main.axis is None or not main.axis.size else tuple(main.axis.tolist())
    result: Var = ops.layer_norm(
        x,
        constant(gamma) if both else None,
        constant(beta) if both else None,
        axes=axes,
        epsilon=float(main.epsilon),
        group=max(1, int(main.group)),
        rms=bool(main.useRMSNorm),
    )
    return result


@decoder("LRN")
def _lrn(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    result: Var = ops.lrn(
        x,
        size=int(main.localSize),
        alpha=float(main.alpha),
        beta=float(main.beta),
        bias=float(main.bias),
        within_channel=main.regionType == 1,
        layout=x.data_format.layout,
    )
    return result


@decoder("Normalize")
def _normalize(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    result: Var = ops._normalize(
        x,
        _constant(main.scale),
        epsilon=float(main.eps),
        across_spatial=bool(main.acrossSpatial),
        layout=x.data_format.layout,
    )
    return result
