"""``python -m qgc``, and the console script ``qgc``."""

import signal
import sys


def main() -> int:
    """Run the command line as a program, which SIGTERM ends as Ctrl-C does, in its first moments too."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        print("\nqgc: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
