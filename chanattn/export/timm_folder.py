"""Weights under timm's names in a folder as timm and its hub lay it out.

https://huggingface.co/docs/timm/hf_hub; timm 1.0.31, models/_hub.py: `timm.create_model("local-dir:DIR",
pretrained=True)` reads `config.json`, then `model.safetensors`.
"""

import json
from typing import Any

from safetensors.numpy import save

from chanattn.export.trained import Trained
from chanattn.interop import to_torch
from chanattn.interop.timm_networks import timm_name

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def files(trained: Trained) -> dict[str, bytes]:
    """The files of the folder by their names.

    Raises:
        UsageError: The network has parts without PyTorch names.
    """
    state = to_torch(trained.model, trained.variables, image_size=trained.image_size)
    metadata = {"format": "pt", "chanattn": json.dumps(trained.made)}
    text = json.dumps(_config(trained), indent=2) + "\n"
    return {WEIGHTS: save(state, metadata), CONFIG: text.encode()}


def _config(trained: Trained) -> dict[str, Any]:
    name = timm_name(trained.model)
    dataset, classes = trained.config.dataset, len(trained.class_names)
    description: dict[str, Any] = {
        "architecture": name or f"chanattn_{trained.config.model.name}",
        "num_classes": classes,
        "pretrained_cfg": {
            "num_classes": classes,
            "input_size": [3, *trained.image_size],
            "fixed_input_size": False,
            "crop_pct": dataset.augment.eval_crop,
            "mean": list(dataset.mean),
            "std": list(dataset.std),
            "label_names": list(trained.class_names),
        },
        "chanattn": trained.made | {"model": trained.config.model.to_dict()},
    }
    if name is None:
        description["note"] = (
            "This is no network of timm's, which cannot load it; its weights have the names that timm would"
            " give them. chanattn.interop.from_torch reads them."
        )
    return description
