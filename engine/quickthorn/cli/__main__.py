"""``python -m quickthorn.cli``, where the console script is not on the PATH."""

from quickthorn.cli import main

raise SystemExit(main())
