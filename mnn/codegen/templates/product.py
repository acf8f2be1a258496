"""A matrix product in canonical form: few batch axes, rows where possible, no odd cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

from mnn.codegen.builder import Function, Index, Value
from mnn.codegen.kernel import Tensor
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.window import split
from mnn.records import dataclass, replace

__all__ = ["BIAS_EACH", "BIAS_ONE", "NO_BIAS", "Product", "batch_fields", "located"]

NO_BIAS, BIAS_EACH, BIAS_ONE = "none", "each column", "one"
"""What is added to the columns of a product first: nothing, to each its own, to all the same."""


@dataclass(frozen=True)
class Product:
    """out = epilogue(a b + bias), every tensor with the same batch axes.

    Attributes:
        a: (batch..., M, K).    b: (batch..., K, N).    out: (batch..., M, N).
        bias: (N,), with stride 0 when all columns share one, or None.
        operands: of the epilogue, (batch..., M, N).
    """

    a: Tensor
    b: Tensor
    out: Tensor
    bias: Tensor | None
    operands: tuple[Tensor, ...]

    @property
    def batch(self) -> tuple[int, ...]:
        """Sizes of the batch axes."""
        return self.out.shape[:-2]

    @property
    def m(self) -> int:
        """Rows of the result."""
        return self.out.shape[-2]

    @property
    def n(self) -> int:
        """Columns of the result."""
        return self.out.shape[-1]

    @property
    def k(self) -> int:
        """Terms of each sum."""
        return self.a.shape[-1]

    def simplified(self) -> Product:
        """Return the same product with as few batch axes as possible.

        Axes of one element are dropped, axes that run through each other joined, and an axis
        along which b does not vary becomes rows where the memory allows it.
        """
        product = self.broadcast()
        for axis in reversed(range(len(product.batch))):
            if product.batch[axis] == 1:
                product = product.without(axis)
        for axis in reversed(range(len(product.batch) - 1)):
            if all(
                each.strides[axis] == each.strides[axis + 1] * each.shape[axis + 1]
                for each in product.tensors
            ):
                product = product.joined(axis)
        for axis in reversed(range(len(product.batch))):
            product = product.as_rows(axis) or product
        return product

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors with batch axes."""
        return (self.a, self.b, self.out, *self.operands)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Product:
        """Return the product of changed tensors; the bias stays."""
        a, b, out, *operands = (change(each) for each in self.tensors)
        return replace(self, a=a, b=b, out=out, operands=tuple(operands))

    def broadcast(self) -> Product:
        """Return the product whose operands have all batch axes of the result."""
        batch = self.batch
        return replace(
            self,
            a=self.a.broadcast((*batch, self.m, self.k)),
            b=self.b.broadcast((*batch, self.k, self.n)),
            operands=tuple(each.broadcast(self.out.shape) for each in self.operands),
        )

    def without(self, axis: int) -> Product:
        """Return the product without a batch axis of one element."""
        return self.mapped(lambda each: _axes(each, axis, 1, (), ()))

    def joined(self, axis: int) -> Product:
        """Return the product with a batch axis and the next one joined."""
        size = self.batch[axis] * self.batch[axis + 1]
        return self.mapped(lambda each: _axes(each, axis, 2, (size,), (each.strides[axis + 1],)))

    def as_rows(self, axis: int) -> Product | None:
        """Return the product with a batch axis made part of the rows, None if it cannot be."""
        m, size = self.m, self.batch[axis]
        if self.b.strides[axis] != 0:
            return None
        for each in (self.a, self.out, *self.operands):
            if m > 1 and each.strides[axis] != m * each.strides[-2]:
                return None

        def taller(each: Tensor) -> Tensor:
            step = each.strides[axis] if m == 1 else each.strides[-2]
            moved = _axes(each, axis, 1, (), ())
            return replace(
                moved,
                shape=(*moved.shape[:-2], m * size, moved.shape[-1]),
                strides=(*moved.strides[:-2], step, moved.strides[-1]),
            )

        return replace(self.mapped(taller), b=_axes(self.b, axis, 1, (), ()))

    def turned(self) -> Product:
        """Return the transposed product, for a result of one column."""

        def change(each: Tensor) -> Tensor:
            last = len(each.shape) - 1
            return each.permuted([*range(last - 1), last, last - 1])

        turned = self.mapped(change)
        bias = None
        if self.bias is not None:
            bias = replace(self.bias, shape=(self.m,), strides=(0,))
        return replace(turned, a=turned.b, b=turned.a, bias=bias)


def batch_fields(batch: int, ending: Ending) -> str:
    """Return the names of argument slots for operands of an epilogue and for batch axes."""
    operands = range(len(ending.operands))
    names = [name for each in operands for name in (f"*operand{each}", f"operand{each}_row")]
    for axis in range(batch):
        names += [f"size{axis}", f"a{axis}", f"b{axis}", f"out{axis}"]
        names += [f"operand{each}_{axis}" for each in operands]
    return " ".join(names)


def located(
    f: Function,
    block: SimpleNamespace,
    item: Value,
    batch: int,
    ending: Ending,
    counts: Sequence[Index],
) -> SimpleNamespace:
    """Build the way from an item to its matrices.

    Args:
        block: the argument block, with `batch_fields`.
        item: counts through the batch, then through blocks of each product: `counts` of them.

    Returns:
        Addresses `a`, `b`, `out` and list `operands`, and list `blocks` of the block's numbers.
    """
    sizes = [getattr(block, f"size{axis}") for axis in range(batch)]
    digits = split(f, item, [*(sizes or [1]), *counts])
    operands = range(len(ending.operands))
    at = SimpleNamespace(a=block.a, b=block.b, out=block.out, blocks=digits[-len(counts) :])
    at.operands = [getattr(block, f"operand{each}") for each in operands]
    for axis, place in enumerate(digits[:batch]):
        for name in ("a", "b", "out"):
            step = f.mul(getattr(block, f"{name}{axis}"), place)
            setattr(at, name, f.offset(getattr(at, name), step))
        for each in operands:
            step = f.mul(getattr(block, f"operand{each}_{axis}"), place)
            at.operands[each] = f.offset(at.operands[each], step)
    return at


def _axes(
    tensor: Tensor, axis: int, count: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor:
    """Return a view with `count` axes from `axis` on replaced."""
    return replace(
        tensor,
        shape=(*tensor.shape[:axis], *shape, *tensor.shape[axis + count :]),
        strides=(*tensor.strides[:axis], *strides, *tensor.strides[axis + count :]),
    )
