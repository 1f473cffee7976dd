"""What each trained model is: its network, its noise, and how long it was trained."""

from dataclasses import dataclass
from functools import partial

from networks import Stack, Unrolled
from potential import GradientStep

Network = Stack | Unrolled | GradientStep

PLAIN = (1, 1, 1, 1, 1, 1, 1)
DILATED = (1, 2, 3, 4, 3, 2, 1)
"""Those of Zhang et al. (2017): a radius of 16 pixels in seven layers."""
DEEP = (1, 1, 2, 2, 3, 4, 4, 3, 2, 2, 1, 1)


@dataclass(frozen=True)
class Recipe:
    """One model. Noise levels are in units of 1/255, sides in pixels."""

    sigma: tuple[float, float]
    """Lowest and highest noise level; the network is told which where they differ."""
    network: partial[Network]
    steps: int
    """Of the optimizer."""
    batch: int = 4
    side: int = 64
    """Of a crop."""
    rate: float = 0.02
    """Largest learning rate of Muon; Adam's is a tenth of it."""
    skew: float = 1.0
    """Above 1, low noise levels are drawn more often: u ** skew of the range, u uniform."""
    init: str = ""
    """The recipe whose weights it starts from, rescaled to this noise level."""
    penalty: float = 0.0
    """Weight of the penalty on |J_D|_2 > 1 - margin."""
    margin: float = 0.02

    @property
    def conditional(self) -> bool:
        """Whether the network has a second input, sigma."""
        return self.sigma[0] < self.sigma[1]

    @property
    def watched(self) -> tuple[float, ...]:
        """The noise levels that the training is watched at."""
        low, high = self.sigma
        return tuple(s for s in LEVELS if low <= s <= high) if self.conditional else (high,)

    def describe_network(self) -> str:
        """As it would be called: ``Stack(64, (1, 2, 1))``."""
        return f"{self.network.func.__name__}({', '.join(map(str, self.network.args))})"


LEVELS = (5, 10, 15, 25, 50)
"""Those of the card."""
FAST = partial(Stack, 64, DILATED)
RECIPES = {
    "fast-s5": Recipe((5, 5), partial(Stack, 48, PLAIN), 10679),
    "fast-s15": Recipe((15, 15), FAST, 10679),
    "fast-s10": Recipe((10, 10), FAST, 4000, rate=0.01, init="fast-s15"),
    "fast-s25": Recipe((25, 25), FAST, 4000, rate=0.01, init="fast-s15"),
    "nonexpansive": Recipe((0, 50), partial(Unrolled, 16, 24, 4), 12351, rate=0.03),
    "potential": Recipe(
        (0, 50), partial(GradientStep, 48, 6, 16, conditional=True), 20000, rate=0.006, skew=2.0
    ),
    "quality": Recipe((0, 55), partial(Stack, 64, DEEP, conditional=True), 27020),
}
"""By name; the ONNX file is NAME.onnx."""
