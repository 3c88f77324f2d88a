"""Writes a trained network for other programs.

    python -m chanattn.export runs/cifar10-se                     timm's names, in RUN/export
    python -m chanattn.export runs/cifar10-se --step=best --raw --output=exported
    python -m chanattn.export runs/cifar10-se --format=stablehlo
    python -m chanattn.export runs/cifar10-se --format=onnx

Formats: safetensors, a folder as timm.create_model("local-dir:DIR", pretrained=True) reads it; stablehlo, one
program with the weights inside; onnx, the same for ONNX runtimes. See docs/export.md.
Exit codes: 0 done, 2 bad flags, no such checkpoint or no names for it (nothing is written), 1 anything else.
"""

from collections.abc import Mapping
from pathlib import Path

from absl import flags

from chanattn import checkpoint_flags, cli
from chanattn.errors import UsageError, visible
from chanattn.files import write_bytes
from chanattn.paths import to_path

FORMAT = flags.DEFINE_enum(
    "format", "safetensors", ["safetensors", "stablehlo", "onnx"], "what to write"
)
flags.adopt_module_key_flags(checkpoint_flags)
OUTPUT = cli.define_path("output", None, "folder; default: RUN/export")


def main(runs: list[str]) -> None:
    """Exports as the flags say."""
    if len(runs) != 1:
        raise UsageError("give the directory of one run: python -m chanattn.export RUN")
    step, ema = checkpoint_flags.chosen()
    from chanattn.export import onnx, stablehlo, timm_folder
    from chanattn.export.trained import read
    from chanattn.training.space import check_writable

    output = OUTPUT.value or to_path(runs[0]) / "export"
    trained = read(runs[0], step=step, ema=ema)
    check_writable(output, "--output")
    formats = {"safetensors": timm_folder, "stablehlo": stablehlo, "onnx": onnx}
    _write(output, formats[FORMAT.value].files(trained))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_bytes(folder / name, content)
            print(visible(f"wrote {folder / name}"))
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}; free the place or choose another --output"
        ) from error


if __name__ == "__main__":
    cli.run(main, positionals=True)
