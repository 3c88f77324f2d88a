"""Channel-wise soft attention in JAX and Flax."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chanattn.prediction import Predictor

__version__ = "0.2.0"
__all__ = ["Predictor", "__version__"]


def __getattr__(name: str) -> Any:
    """`chanattn.Predictor`, which brings what a training needs, is imported when it is asked for."""
    if name == "Predictor":
        from chanattn.errors import needs_laboratory

        try:
            from chanattn.prediction import Predictor
        except ModuleNotFoundError as error:
            raise ImportError(needs_laboratory("chanattn.Predictor", error.name)) from error
        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
