"""Low-rank bilinear fusion of question and image: MUTAN (Ben-younes et al. 2017), after Kim et al. (2017).

q, u, v                as in the Deeper LSTM; u and v have R·d entries, R factors of d
A = u ∘ v              the combine layer; its r-th factor is A_r = u_r ∘ v_r
y = Wo Σ_r A_r + bo    answer scores: the classifier sums over the factors first

But for the tanh in u and v, each of the d sums is a bilinear form of q and f/‖f‖ whose matrix has rank R. Two neurons
at the same place of two factors have the same c_j = ∂y_a/∂A_j = Wo[a, j mod d]: which of them counts for a question is
up to u, in g = c ∘ u.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...errors import WeightsError
from ..deeper_lstm import DeeperLSTM, DeeperLSTMConfig


@dataclass(frozen=True)
class LowRankBilinearConfig(DeeperLSTMConfig):
    """Sizes of a low-rank bilinear model: those of a Deeper LSTM, with ``combine`` cut into R = ``factors``."""

    factors: int = 4


class LowRankBilinear(DeeperLSTM):
    """The model; see the module's docstring. Question encoder, branches and closed forms are the Deeper LSTM's.

    Raises
    ------
    WeightsError
        If the combine layer cannot be cut into that many factors of one size.
    """

    def __init__(self, config: LowRankBilinearConfig):
        super().__init__(config)
        d, rest = divmod(config.combine, config.factors)
        if rest:
            raise WeightsError(f"a combine layer of {config.combine} cannot be cut into {config.factors} factors of "
                               "one size; make combine a multiple of factors")  # fmt: skip
        self.output = nn.Linear(d, len(self.answers))  # Wo, bo

    def classify(self, A: Tensor) -> Tensor:
        """y = Wo Σ_r A_r + bo, (B, answers)."""
        return super().classify(A.unflatten(-1, (self.config.factors, -1)).sum(-2))
