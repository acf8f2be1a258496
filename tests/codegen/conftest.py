"""A tiny hand-written kernel that the tests of emission, cache and linking share."""

from __future__ import annotations

import pytest

_ADD = """
define void @KERNEL(ptr %args, i64 %lo, i64 %hi) #0 {
entry:
  %x = load ptr, ptr %args, align 8
  br label %head
head:
  %i = phi i64 [%lo, %entry], [%next, %body]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %place = getelementptr i64, ptr %x, i64 %i
  %old = load i64, ptr %place, align 8
  %new = add i64 %old, NUMBER
  store i64 %new, ptr %place, align 8
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}
attributes #0 = { nounwind }
"""


class Kernels:
    """Texts of kernels."""

    def add(self, number: int) -> str:
        """Adds `number` to the int64 elements lo..hi of the array in slot 0."""
        return _ADD.replace("NUMBER", str(number))


@pytest.fixture
def kernels() -> Kernels:
    return Kernels()
