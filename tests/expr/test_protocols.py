"""Python's and NumPy's protocols on Vars."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn import expr


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_inputs_without_a_value_can_be_copied(copied: Any) -> None:
    place = expr.placeholder([-1, 3], expr.NHWC, expr.int)
    place.name = "place"
    twin = copied(place)
    assert (twin.op_type, twin.name, twin.shape) == ("Input", "place", [-1, 3])
    assert (twin.dtype, twin.data_format) == (np.int32, expr.NHWC)
    twin.write([[1, 2, 3]])
    with pytest.raises(RuntimeError, match="no value yet"):
        place.read()


def test_membership_is_of_elements() -> None:
    x = mnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert 3 in x
    assert mnp.array(2.0) in x
    assert 9 not in x
    assert 1 not in mnp.zeros(0)


def test_arrays_without_dimensions_are_no_sequences() -> None:
    for function in (iter, list, tuple, sorted, len):
        with pytest.raises(TypeError, match="without dimensions"):
            function(mnp.array(2.5))


def test_indices_of_python_sequences() -> None:
    assert "abc"[mnp.array(2)] == "c"
    for value in (True, 1.5, [1]):
        with pytest.raises(TypeError, match="expected one integer"):
            operator.index(mnp.array(value))


def test_power_with_a_modulus_is_left_to_python() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        pow(mnp.array(2), 3, 5)


def test_numpy_functions_of_submodules_are_ours_of_the_same_submodule() -> None:
    x = mnp.array([[1.0, 2.0], [3.0, 4.0]])
    assert isinstance(np.linalg.norm(x), mnp.ndarray)
    np.testing.assert_allclose(np.linalg.svd(x)[1].read(), np.linalg.svd(x.read())[1], rtol=1e-6)
    # numpy.linalg.trace works on other axes than numpy.trace.
    stack = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
    np.testing.assert_array_equal(np.linalg.trace(mnp.array(stack)).read(), np.linalg.trace(stack))
