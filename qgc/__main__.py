"""``python -m qgc``."""

from .cli import main

raise SystemExit(main())
