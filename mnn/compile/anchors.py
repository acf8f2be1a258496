"""The calls of anchors: matrix products, convolutions and poolings that units are built around."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.codegen.kernel import Call, Epilogue, Tensor
from mnn.codegen.target import Target
from mnn.compile.flow import Value

__all__ = ["anchor_calls"]


def anchor_calls(
    anchor: Value,
    operands: Sequence[Tensor],
    output: Tensor,
    target: Target,
    epilogue: Epilogue | None,
    *,
    low: bool,
) -> list[Call]:
    """Return the calls that compute an anchor.

    Templates are imported when a graph has such an anchor: warm starts need none.

    Args:
        anchor: its kind says which template computes it.
        operands: tensors of its inputs.
        output: what to store.
        target: what kernels are made for.
        epilogue: what follows in the same kernel.
        low: precision low: shorter types in matrix products.
    """
    attributes = anchor.attributes
    x = operands[0]
    if anchor.kind == "pool":
        from mnn.codegen.templates import pool

        return pool.lower(x, output, target, epilogue=epilogue, **attributes)
    weight = operands[1]
    if anchor.kind == "conv_int8":
        from mnn.codegen.templates import int8_conv

        return int8_conv.lower(
            x,
            weight,
            output,
            target,
            scale=operands[2],
            bias=operands[3],
            epilogue=epilogue,
            **attributes,
        )
    bias = operands[2] if len(operands) > 2 else None
    if anchor.kind == "matmul":
        from mnn.codegen.templates import gemm

        return gemm.lower(x, weight, output, target, bias=bias, epilogue=epilogue, low=low)
    from mnn.codegen.templates import conv

    return conv.lower(
        x,
        weight,
        output,
        target,
        bias=bias,
        transposed=anchor.kind == "conv_transpose",
        epilogue=epilogue,
        low=low,
        **attributes,
    )
