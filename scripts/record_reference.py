"""Record what PyTorch and onnxruntime compute, as data for tests/ops/reference/test_recorded.py.

Run it where `torch`, `onnx` and `onnxruntime` are installed; the package itself is not imported:

    python scripts/record_reference.py tests/data/reference

Each case names a function of `mnn.ops.reference`, its arrays and attributes, and the results that
another library gives for the same mathematics. `torch.npz` and `onnxruntime.npz` hold for each case
`<case>.call` (JSON: function, attributes, which arguments are given), `<case>.in<i>` and
`<case>.out<i>`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F  # noqa: N812 - its customary name
from onnx import TensorProto, helper, numpy_helper

Arrays = list[np.ndarray | None]


class Recorder:
    """Collects cases and writes them to one file."""

    def __init__(self) -> None:
        self.entries: dict[str, np.ndarray] = {}

    def add(
        self, case: str, function: str, inputs: Arrays, attributes: dict, outputs: Arrays
    ) -> None:
        """Add one case; None among the outputs means that this result is not compared."""
        call = {
            "function": function,
            "attributes": attributes,
            "inputs": [array is not None for array in inputs],
            "outputs": [array is not None for array in outputs],
        }
        self.entries[f"{case}.call"] = np.array(json.dumps(call))
        for kind, arrays in (("in", inputs), ("out", outputs)):
            for number, array in enumerate(arrays):
                if array is not None:
                    self.entries[f"{case}.{kind}{number}"] = np.asarray(array)

    def save(self, path: Path) -> None:
        """Write all cases."""
        np.savez_compressed(path, **self.entries)
        print(f"{path}: {len([key for key in self.entries if key.endswith('.call')])} cases")


def noise(*shape: int, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    """Return normal values with few digits, which compress well."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return np.round(values * 64).astype(dtype) / dtype(64)


def with_gradients(
    forward: Callable[..., torch.Tensor], *inputs: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """Return (result, seed gradient, gradients of all inputs)."""
    tensors = [None if x is None else torch.tensor(x, requires_grad=True) for x in inputs]
    result = forward(*tensors)
    seed = noise(*result.shape, seed=9, dtype=inputs[0].dtype.type)
    result.backward(torch.tensor(seed))
    return result.detach().numpy(), seed, [None if t is None else t.grad.numpy() for t in tensors]


def to_last(x: np.ndarray) -> np.ndarray:
    """Return channels-first data with channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def both(pads: list[int]) -> list[list[int]]:
    """Return symmetric pads as (begin, end) pairs."""
    return [[pad, pad] for pad in pads]


def record_conv(recorder: Recorder) -> None:
    """Convolutions of rank 1 to 3 with both gradients."""
    settings = {
        "conv1d": ((2, 4, 11), (6, 2, 3), [2], [1], [1], 2),
        "conv2d": ((2, 3, 9, 8), (4, 3, 3, 2), [2, 1], [1, 2], [2, 1], 1),
        "conv2d_depthwise": ((2, 4, 7, 6), (8, 1, 3, 3), [1, 1], [1, 1], [1, 1], 4),
        "conv3d": ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), [1, 2, 1], [1, 1, 2], [0, 1, 1], 1),
    }
    calls = [F.conv1d, F.conv2d, F.conv3d]
    for case, (shape, weight_shape, stride, dilation, pads, groups) in settings.items():
        x, w, b = noise(*shape), noise(*weight_shape, seed=1), noise(weight_shape[0], seed=2)
        call = calls[len(stride) - 1]

        def forward(x, w, b, call=call, s=stride, d=dilation, p=pads, g=groups):
            return call(x, w, b, stride=s, dilation=d, padding=p, groups=g)

        y, seed, (grad_x, grad_w, _) = with_gradients(forward, x, w, b)
        common = {"stride": stride, "dilation": dilation, "pads": both(pads), "groups": groups}
        last = {**common, "layout": "NHWC"}
        recorder.add(case, "conv.conv", [x, w, b], common, [y])
        recorder.add(f"{case}_last", "conv.conv", [to_last(x), w, b], last, [to_last(y)])
        shaped = {**common, "input_shape": list(shape)}
        recorder.add(f"{case}_dx", "conv.conv_input_grad", [seed, w], shaped, [grad_x])
        kernel = {**common, "kernel": list(weight_shape[2:])}
        recorder.add(f"{case}_dw", "conv.conv_weight_grad", [seed, x], kernel, [grad_w])


def record_conv_transpose(recorder: Recorder) -> None:
    """Transposed convolutions with output padding, dilation and groups, and both gradients."""
    settings = {
        "deconv1d": ((2, 4, 6), (4, 3, 3), [3], [1], [1], [2], 1),
        "deconv2d": ((2, 4, 4, 5), (4, 3, 3, 2), [2, 3], [2, 1], [1, 0], [1, 2], 2),
        "deconv3d": (
            (1, 2, 3, 2, 3),
            (2, 2, 2, 2, 3),
            [2, 1, 2],
            [1, 1, 1],
            [0, 1, 1],
            [1, 0, 0],
            1,
        ),
    }
    calls = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]
    for case, (shape, weight_shape, stride, dilation, pads, extra, groups) in settings.items():
        x, w = noise(*shape), noise(*weight_shape, seed=1)
        b = noise(weight_shape[1] * groups, seed=2)
        call = calls[len(stride) - 1]

        def forward(x, w, b, call=call, s=stride, d=dilation, p=pads, e=extra, g=groups):
            return call(x, w, b, stride=s, dilation=d, padding=p, output_padding=e, groups=g)

        y, seed, (grad_x, grad_w, _) = with_gradients(forward, x, w, b)
        common = {"stride": stride, "dilation": dilation, "pads": both(pads), "groups": groups}
        more = {**common, "output_padding": extra}
        recorder.add(case, "conv.conv_transpose", [x, w, b], more, [y])
        shaped = {**common, "input_shape": list(shape)}
        recorder.add(f"{case}_dx", "conv.conv_transpose_input_grad", [seed, w], shaped, [grad_x])
        kernel = {**common, "kernel": list(weight_shape[2:])}
        recorder.add(f"{case}_dw", "conv.conv_transpose_weight_grad", [seed, x], kernel, [grad_w])


def record_pool(recorder: Recorder) -> None:
    """Poolings with ceil mode, dilation, both divisors, indices and gradients."""
    x = noise(2, 3, 9, 8)
    for ceil in (False, True):
        attributes = {"kernel": [3, 2], "stride": [2, 3], "pads": both([1, 1]), "ceil_mode": ceil}
        torch_pool = {"kernel_size": [3, 2], "stride": [2, 3], "padding": [1, 1], "ceil_mode": ceil}
        y, seed, (grad,) = with_gradients(lambda x, a=torch_pool: F.max_pool2d(x, **a), x)
        recorder.add(f"max_pool_{ceil}", "pool.max_pool", [x], attributes, [y])
        recorder.add(f"max_pool_{ceil}_dx", "pool.max_pool_grad", [seed, x], attributes, [grad])
        _, places = F.max_pool2d(torch.tensor(x), **torch_pool, return_indices=True)
        places = places.numpy().astype(np.int32)
        recorder.add(f"max_pool_{ceil}_at", "pool.max_pool_indices", [x], attributes, [places])
        for count in ("include", "exclude"):
            more = {**torch_pool, "count_include_pad": count == "include"}
            y, seed, (grad,) = with_gradients(lambda x, a=more: F.avg_pool2d(x, **a), x)
            case, counted = f"avg_pool_{ceil}_{count}", {**attributes, "count": count}
            recorder.add(case, "pool.avg_pool", [x], counted, [y])
            shaped = {**counted, "input_shape": list(x.shape)}
            recorder.add(f"{case}_dx", "pool.avg_pool_grad", [seed], shaped, [grad])
    spread = {"kernel": [2, 3], "stride": [1, 2], "pads": both([1, 1]), "dilation": [2, 2]}
    y = F.max_pool2d(torch.tensor(x), [2, 3], [1, 2], [1, 1], [2, 2]).numpy()
    recorder.add("max_pool_dilated", "pool.max_pool", [x], spread, [y])
    deep = noise(1, 2, 5, 6, 4)
    flat = {"kernel": [2, 3, 2], "stride": [2, 2, 1], "pads": both([1, 1, 0])}
    y = F.max_pool3d(torch.tensor(deep), [2, 3, 2], [2, 2, 1], [1, 1, 0]).numpy()
    recorder.add("max_pool3d", "pool.max_pool", [deep], flat, [y])


def record_norm(recorder: Recorder) -> None:
    """Normalisations and the fused gradients."""
    x, g, b = noise(3, 4, 5), noise(4, 5, seed=1), noise(4, 5, seed=2)
    y, seed, (dx, dg, db) = with_gradients(
        lambda x, g, b: F.layer_norm(x, (4, 5), g, b, 1e-3), x, g, b
    )
    attributes = {"axes": [1, 2], "epsilon": 1e-3}
    recorder.add("layer_norm", "norm.layer_norm", [x, g, b], attributes, [y])
    found = [dx, dg.ravel(), db.ravel()]
    recorder.add("layer_norm_grad", "norm.layer_norm_grad", [seed, x, g], attributes, found)
    y, seed, (dx, dg) = with_gradients(lambda x, g: F.rms_norm(x, (5,), g, 1e-3), x, g[0])
    attributes = {"axes": [-1], "epsilon": 1e-3, "rms": True}
    recorder.add("rms_norm", "norm.layer_norm", [x, g[0]], attributes, [y])
    recorder.add(
        "rms_norm_grad", "norm.layer_norm_grad", [seed, x, g[0]], attributes, [dx, dg, None]
    )

    x, s, b = noise(2, 6, 4, 3), noise(6, seed=1), noise(6, seed=2)
    mean, variance = noise(6, seed=3), noise(6, seed=4) ** 2 + np.float32(0.5)
    tensors = [torch.tensor(each) for each in (x, mean, variance, s, b)]
    y = F.batch_norm(*tensors, eps=1e-3).numpy()
    recorder.add("batch_norm", "norm.batch_norm", [x, mean, variance, s, b], {"epsilon": 1e-3}, [y])
    y, seed, grads = with_gradients(
        lambda x, s, b: F.batch_norm(x, None, None, s, b, training=True, eps=1e-3), x, s, b
    )
    function, epsilon = "norm.batch_norm_train", {"epsilon": 1e-3}
    recorder.add("batch_norm_train", function, [x, s, b], epsilon, [y, None, None])
    recorder.add("batch_norm_train_grad", f"{function}_grad", [seed, x, s], epsilon, grads)
    y = F.instance_norm(tensors[0], weight=tensors[3], bias=tensors[4], eps=1e-3).numpy()
    recorder.add("instance_norm", "norm.instance_norm", [x, s, b], epsilon, [y])
    y = F.group_norm(tensors[0], 3, tensors[3], tensors[4], 1e-3).numpy()
    recorder.add("group_norm", "norm.group_norm", [x, s, b], {"groups": 3, **epsilon}, [y])
    y = F.prelu(tensors[0], tensors[3]).numpy()
    recorder.add("prelu", "channel_norm.prelu", [x, s], {}, [y])
    y = F.local_response_norm(tensors[0], 3, 0.5, 0.75, 2.0).numpy()
    attributes = {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 2.0}
    recorder.add("lrn", "channel_norm.lrn", [x], attributes, [y])


def record_sequence(recorder: Recorder) -> None:
    """Recurrent layers, attention and the short-time Fourier transform."""
    torch.manual_seed(0)
    x = noise(5, 2, 3)
    lstm, plain = torch.nn.LSTM(3, 4, bidirectional=True), torch.nn.RNN(3, 4)
    outputs, (hidden, cell) = lstm(torch.tensor(x))
    order = np.r_[0:4, 12:16, 4:8, 8:12]  # torch keeps i, f, g, o
    suffixes = ("", "_reverse")

    def stacked(name: str) -> np.ndarray:
        parts = [getattr(lstm, f"{name}_l0{suffix}").detach().numpy() for suffix in suffixes]
        return np.stack(parts)[:, order]

    y = outputs.detach().numpy().reshape(5, 2, 2, 4).transpose(0, 2, 1, 3)
    inputs = [
        x,
        stacked("weight_ih"),
        stacked("weight_hh"),
        stacked("bias_ih") + stacked("bias_hh"),
    ]
    finals = [hidden.detach().numpy(), cell.detach().numpy()]
    attributes = {"direction": "bidirectional"}
    recorder.add("lstm", "recurrent.lstm", inputs, attributes, [y, *finals])
    outputs, hidden = plain(torch.tensor(x))
    weights = [p.detach().numpy()[None] for p in plain.parameters()]
    inputs = [x, weights[0], weights[1], weights[2] + weights[3]]
    found = [outputs.detach().numpy()[:, None], hidden.detach().numpy()]
    recorder.add("rnn", "recurrent.rnn", inputs, {}, found)

    q, k, v = noise(2, 3, 4, 6), noise(2, 5, 2, 6, seed=1), noise(2, 5, 2, 3, seed=2)
    mask, seen = noise(2, 1, 3, 5, seed=3), np.tri(3, 5, 1, dtype=bool)
    heads = [torch.tensor(each.transpose(0, 2, 1, 3)) for each in (q, k, v)]
    for case, given in (("additive", mask), ("boolean", seen)):
        y = F.scaled_dot_product_attention(
            *heads, attn_mask=torch.tensor(given), scale=0.3, enable_gqa=True
        )
        y = y.numpy().transpose(0, 2, 1, 3).reshape(2, 3, -1)
        attributes = {"scale": 0.3}
        recorder.add(f"attention_{case}", "attention.attention", [q, k, v, given], attributes, [y])
    q, k, v = q[:, :, :2], k[:, :3], v[:, :3]
    heads = [torch.tensor(each.transpose(0, 2, 1, 3)) for each in (q, k, v)]
    y = F.scaled_dot_product_attention(*heads, is_causal=True).numpy()
    y = y.transpose(0, 2, 1, 3).reshape(2, 3, -1)
    recorder.add("attention_causal", "attention.attention", [q, k, v], {}, [y])

    signal, window = noise(2, 30), np.hanning(8).astype(np.float32)
    for onesided in (True, False):
        spectra = torch.stft(
            torch.tensor(signal),
            8,
            3,
            window=torch.tensor(window),
            center=False,
            onesided=onesided,
            return_complex=True,
        )
        y = torch.view_as_real(spectra.transpose(1, 2)).contiguous().numpy()
        attributes = {"hop": 3, "onesided": onesided}
        recorder.add(f"stft_{onesided}", "spectral.stft", [signal, window], attributes, [y])
    matrices = noise(3, 4, 4, dtype=np.float64)
    recorder.add("det", "linalg.det", [matrices], {}, [torch.det(torch.tensor(matrices)).numpy()])
    a, b = noise(2, 5, 3), noise(2, 5, 3, seed=1)
    y = F.cosine_similarity(torch.tensor(a), torch.tensor(b), dim=1).numpy()
    recorder.add("cosine_similarity", "linalg.cosine_similarity", [a, b], {"axis": 1}, [y])


def onnx_run(
    operator: str, inputs: Arrays, outputs: int, opset: int = 18, **attributes: object
) -> Arrays:
    """Return what onnxruntime computes for one operator; inputs are constants of the graph."""
    names = ["" if array is None else f"in{number}" for number, array in enumerate(inputs)]
    results = [f"out{number}" for number in range(outputs)]
    node = helper.make_node(operator, names, results, **attributes)
    first = helper.make_tensor_value_info("in0", TensorProto.FLOAT, inputs[0].shape)
    constants = [
        numpy_helper.from_array(array, name)
        for name, array in zip(names[1:], inputs[1:], strict=True)
        if array is not None
    ]
    values = [onnx.ValueInfoProto(name=name) for name in results]
    graph = helper.make_graph([node], "case", [first], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"in0": inputs[0]})


def record_onnx(recorder: Recorder) -> None:
    """What PyTorch lacks: SAME and asymmetric padding, GRU without torch's reset, reverse LSTM."""
    x, w = noise(1, 2, 7, 8), noise(3, 2, 3, 2, seed=1)
    (y,) = onnx_run("Conv", [x, w], 1, auto_pad="SAME_UPPER", strides=[2, 3])
    common = {"stride": [2, 3], "dilation": [1, 1], "pads": [[0, 0], [0, 0]], "mode": "SAME"}
    recorder.add("conv_same", "conv.conv", [x, w], common, [y])
    (y,) = onnx_run("Conv", [x, w], 1, pads=[2, 0, 1, 3], dilations=[1, 2], strides=[2, 1])
    attributes = {"stride": [2, 1], "dilation": [1, 2], "pads": [[2, 1], [0, 3]]}
    recorder.add("conv_asymmetric", "conv.conv", [x, w], attributes, [y])
    w = noise(2, 3, 3, 4, seed=1)
    (y,) = onnx_run("ConvTranspose", [x, w], 1, auto_pad="SAME_UPPER", strides=[2, 3])
    extra = {**common, "output_padding": [0, 0]}
    recorder.add("deconv_same", "conv.conv_transpose", [x, w], extra, [y])
    (y,) = onnx_run("ConvTranspose", [x, w], 1, pads=[1, 0, 0, 3], strides=[2, 3])
    attributes = {**extra, "mode": "CAFFE", "pads": [[1, 0], [0, 3]]}
    recorder.add("deconv_asymmetric", "conv.conv_transpose", [x, w], attributes, [y])

    pads = {"kernel": [3, 3], "stride": [2, 2], "pads": [[0, 2], [1, 0]]}
    sizes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]}
    for include in (0, 1):
        (y,) = onnx_run("AveragePool", [x], 1, count_include_pad=include, **sizes)
        attributes = {**pads, "count": "include" if include else "exclude"}
        recorder.add(f"avg_asymmetric_{include}", "pool.avg_pool", [x], attributes, [y])
    for operator, function in (("MaxPool", "pool.max_pool"), ("AveragePool", "pool.avg_pool")):
        same = {"kernel": [3, 2], "stride": [2, 3], "pads": [[0, 0], [0, 0]], "mode": "SAME"}
        (y,) = onnx_run(
            operator, [x], 1, auto_pad="SAME_UPPER", kernel_shape=[3, 2], strides=[2, 3]
        )
        recorder.add(f"{operator}_same", function, [x], same, [y])
    record_onnx_recurrent(recorder)


def record_onnx_recurrent(recorder: Recorder) -> None:
    """GRU in both forms, LSTM backwards."""
    x, h0 = noise(5, 2, 3), noise(2, 2, 4, seed=7)
    w, r, b = noise(2, 12, 3, seed=1), noise(2, 12, 4, seed=2), noise(2, 24, seed=3)
    gate = np.concatenate([w[:, :8], r[:, :8]], axis=2).transpose(0, 2, 1)
    candidate = np.concatenate([w[:, 8:], r[:, 8:]], axis=2).transpose(0, 2, 1)
    ours = [x, gate, b[:, :8], candidate, b[:, 8:12], b[:, 12:], h0]
    for form in (0, 1):
        found = onnx_run(
            "GRU",
            [x, w, r, b, None, h0],
            2,
            hidden_size=4,
            direction="bidirectional",
            linear_before_reset=form,
        )
        attributes = {"linear_before_reset": bool(form), "direction": "bidirectional"}
        recorder.add(f"gru_{form}", "recurrent.gru", ours, attributes, found)
    w, r, b = noise(1, 16, 3, seed=4), noise(1, 16, 4, seed=5), noise(1, 32, seed=6)
    found = onnx_run("LSTM", [x, w, r, b], 3, hidden_size=4, direction="reverse")
    inputs = [x, w, r, b[:, :16] + b[:, 16:]]
    recorder.add("lstm_reverse", "recurrent.lstm", inputs, {"direction": "reverse"}, found)


def main() -> None:
    """Write both files into the folder given on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    recorder = Recorder()
    for record in (record_conv, record_conv_transpose, record_pool, record_norm, record_sequence):
        record(recorder)
    recorder.save(folder / "torch.npz")
    recorder = Recorder()
    record_onnx(recorder)
    recorder.save(folder / "onnxruntime.npz")


if __name__ == "__main__":
    main()
