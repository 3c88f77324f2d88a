"""A whole network as an ONNX model, translated by jax2onnx and compared with the network.

https://enpasos.github.io/jax2onnx/, https://onnx.ai/onnx/
"""

import json
import logging
from typing import Any

import jax
import numpy as np

from chanattn.errors import UsageError
from chanattn.export.program import description, predict
from chanattn.export.trained import Trained
from chanattn.layers import kernels

MODEL, CONFIG = "model.onnx", "model.json"
_TOLERANCE = 1e-4  # of the largest output


def files(trained: Trained) -> dict[str, bytes]:
    """The model, whose input `images` takes any number of pictures, and what there is to know of it.

    Raises:
        UsageError: jax2onnx or onnxruntime is not installed, knows no translation, or a wrong one.
    """
    try:
        import onnxruntime
        from jax2onnx import to_onnx
    except ImportError as error:
        raise UsageError(
            "--format=onnx needs jax2onnx and onnxruntime, which are not installed: pip install -e '.[onnx]'"
        ) from error
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # what it warns of it also puts right
    function, size = predict(trained), trained.image_size
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype(np.float32)
    with kernels.chosen("plain"):  # jax2onnx does not know programs that differ by platform
        wanted = jax.tree.leaves(jax.jit(function)(images))
        names = {"output_names": ["logits"]} if trained.model.head == "classifier" else {}
        try:
            model = to_onnx(function, [("batch", *size, 3)], input_names=["images"], **names)
            _pool_three_axes(model)
            content = bytes(model.SerializeToString())
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # fatal: the rest are exceptions
            session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
            found = {n: session.run(None, {"images": images[:n]}) for n in (2, 1)}
        except Exception as error:  # of three libraries, which promise no types
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"jax2onnx cannot translate this network ({reason}); --format=stablehlo writes it"
            ) from error
    for count, outputs in found.items():
        _check(outputs, [np.asarray(leaf)[:count] for leaf in wanted])
    told = description(trained) | {
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    }
    return {MODEL: content, CONFIG: (json.dumps(told, indent=2) + "\n").encode()}


def _pool_three_axes(model: Any) -> None:
    """Makes pools over (N, H, W, C) such over (H, W, C), with N for the channels.

    jax2onnx 0.17 puts two axes in front and pools over four, N with a window of 1; onnxruntime pools over
    three at most.
    """
    from onnx import TensorProto, helper

    axis = "first_axis"
    nodes = []
    for node in model.graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type not in ("MaxPool", "AveragePool") or len(given["kernel_shape"]) != 4:
            nodes.append(node)
            continue
        for name in ("kernel_shape", "strides", "dilations"):
            if name in given:
                given[name] = given[name][1:]
        if "pads" in given:
            given["pads"] = [*given["pads"][1:4], *given["pads"][5:]]
        (source,), (target,) = node.input, node.output
        before, after = f"{target}_in", f"{target}_out"
        nodes += [
            helper.make_node("Squeeze", [source, axis], [before]),
            helper.make_node(node.op_type, [before], [after], **given),
            helper.make_node("Unsqueeze", [after, axis], [target]),
        ]
    if len(nodes) > len(model.graph.node):
        model.graph.initializer.append(helper.make_tensor(axis, TensorProto.INT64, [1], [0]))
        del model.graph.node[:]
        model.graph.node.extend(nodes)


def _check(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for ours, theirs in zip(wanted, found, strict=True):
        error = float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1e-12))
        if not error < _TOLERANCE:
            raise UsageError(
                f"the ONNX model that jax2onnx made computes something else ({error:.1e} of the largest"
                " output); --format=stablehlo writes the network"
            )
