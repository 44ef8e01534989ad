"""`python -m flyweight`: the same as the `flyweight` command."""

from __future__ import annotations

from flyweight.cli import main

if __name__ == "__main__":
    main()
