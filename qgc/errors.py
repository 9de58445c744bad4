"""What goes wrong, in words that name the remedy."""


class QGCError(Exception):
    """Base of every error that ``qgc`` raises on bad input: catch it to show the message alone."""


class ImageError(QGCError, ValueError):
    """The picture cannot be used."""


class QuestionError(QGCError, ValueError):
    """The question cannot be used."""


class AnswerError(QGCError, ValueError):
    """The answer is not in the model's vocabulary."""


class GateError(QGCError, ValueError):
    """The set of combine neurons is not valid (n out of range, no index, a foreign index)."""


class WeightsError(QGCError, RuntimeError):
    """The weights are missing, damaged or of another model."""


class FetchError(QGCError, RuntimeError):
    """A file cannot be fetched, is not what it should be, or cannot be unpacked safely."""


class SceneError(QGCError, ValueError):
    """The scene has no such thing, colour or name."""


class DataError(QGCError, ValueError):
    """The files of a data set are missing, damaged or do not fit together."""
