"""What an object is: a name, a size, where it can stand and a function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..svg import Pen
from ..vocabulary import COLOURS


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    ``noun`` is how people name it ("towels"), ``plural`` says "are" instead of "is", ``size`` its
    width and height in centimeters, ``stands`` one of

    * ``"floor"``: foot on the ground, y = 0 is the foot;
    * ``"wall"``: hangs on the back wall (or in the air), y = 0 is its *lower* edge;
    * ``"table"``: stands on a table top, y = 0 is the foot;
    * ``"sky"``: flies, y = 0 is its lower edge.

    ``colours`` are the color terms it comes in (None: it is not asked for its color). ``draw`` takes
    ``(pen, c, rng, **pose)`` with ``c`` the :class:`~qgc.scenes.svg.Shades` of its color.
    """

    name: str
    noun: str
    size: tuple[float, float]
    stands: str
    draw: Callable
    plural: bool = False
    colours: tuple[str, ...] | None = None
    shadow: float = 1.0

    def drawn(self, c, rng, **pose) -> list:
        """The shapes of one such object."""
        pen = Pen()
        self.draw(pen, c, rng, **pose)
        return pen.shapes


KINDS: dict[str, Kind] = {}


def thing(name: str, *, size, stands="floor", noun=None, plural=False, colours=None, shadow=1.0):
    """Register the decorated drawing function as a :class:`Kind`.

    ``colours="any"`` means all eleven terms. ``shadow`` scales the width of the soft shadow on the
    ground (0: none).
    """

    def register(draw):
        KINDS[name] = Kind(
            name, noun or name, size, stands, draw, plural, COLOURS if colours == "any" else colours, shadow
        )
        return draw

    return register
