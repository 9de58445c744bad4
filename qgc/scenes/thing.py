"""One object of a scene: what kind it is, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from .schema import check_object
from .things import KINDS


@dataclass(frozen=True)
class Thing:
    """One object in a scene.

    ``x``, ``y`` is its foot in pixels of the 224×224 image, ``scale`` pixels per centimeter,
    ``on`` the object that it stands on, ``pose`` further arguments of its drawing function.
    """

    kind: str
    colour: str
    x: float
    y: float
    scale: float
    seed: int
    flip: bool = False
    on: str | None = None
    pose: dict = field(default_factory=dict)

    def __post_init__(self):
        for name, value in check_object(vars(self)).items():
            object.__setattr__(self, name, value)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the nominal bounding box in pixels."""
        w, h = (s * self.scale for s in KINDS[self.kind].size)
        return self.x - w / 2, self.y - h, self.x + w / 2, self.y
