"""What every figure must be: nothing in it overlaps, is cut off or is too small to be read."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from qgc.show.style import PAGE, SMALL


def words(figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(Text) if t.get_visible())


def overlaps(figure) -> list[tuple[str, str]]:
    """Pairs of drawn texts whose boxes meet."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    page, unseen = figure.bbox, ticks_beyond_the_limits(figure)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in unseen]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts]
    boxes = [(text, b) for text, b in boxes if b.x1 > page.x0 and b.x0 < page.x1 and b.y1 > page.y0 and b.y0 < page.y1]
    return [(a, b) for (a, p), (b, q) in itertools.combinations(boxes, 2) if p.shrunk(0.9, 0.9).overlaps(q)]


def ticks_beyond_the_limits(figure) -> set[Text]:
    """Labels that an axis keeps but does not draw."""
    unseen = set()
    for axis in (axis for ax in figure.get_axes() for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        unseen |= {t.label1 for t in axis.get_major_ticks() if not low - 1e-9 <= t.get_loc() <= high + 1e-9}
    return unseen


def outside(figure) -> list[str]:
    """Texts that the page's rim cuts off (ticks beyond the axes' limits are not drawn)."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    titles = [t for ax in figure.get_axes() for t in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
    page = figure.bbox
    cut = [(t, t.get_window_extent(renderer)) for t in titles if t.get_text().strip()]
    return [t.get_text() for t, b in cut if b.x0 < -1 or b.y0 < -1 or b.x1 > page.x1 + 1 or b.y1 > page.y1 + 1]


def legible(figure) -> None:
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= PAGE
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    assert min(sizes, default=SMALL) >= 9
    assert overlaps(figure) == []
    assert outside(figure) == []
