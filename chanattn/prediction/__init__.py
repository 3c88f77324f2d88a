"""What a trained network says about pictures of one's own, from Python and from the command line."""

import chanattn.laboratory  # noqa: F401
from chanattn.prediction.predictor import Predictor, Unreadable

__all__ = ["Predictor", "Unreadable"]
