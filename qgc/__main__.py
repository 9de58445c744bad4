"""``python -m qgc``, and the console script ``qgc``."""

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line as a program, which SIGTERM ends as Ctrl-C does, in its first moments too."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as it is for what runs in a shell's background
                signal.signal(number, _interrupt)
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        print("\nqgc: interrupted", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; in an import leave at once, since half an import of NumPy makes errors of its own."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"\nqgc: interrupted\n")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
