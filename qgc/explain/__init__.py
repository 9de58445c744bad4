"""Explaining answers: Grad-CAM, ∂A/∂q, the gate and the engine behind them."""

from .explanation import RANKINGS, Explanation, View, explain, normalised
from .gradcam import gradcam
from .sensitivity import REDUCTIONS

__all__ = ["RANKINGS", "REDUCTIONS", "Explanation", "View", "explain", "gradcam", "normalised"]
