"""A small project to search in."""

from __future__ import annotations

from pathlib import Path

LEDGER = '''"""Keeps accounts."""


class Ledger:
    """Accounts and their balances."""

    def post(self, account, amount):
        """Adds an amount to an account; refuses to overdraw it."""
        balance = self.balances.get(account, 0) + amount
        if balance < 0:
            raise ValueError("overdrawn")
        self.balances[account] = balance
'''
RETRY = """use std::time::Duration;

/// Calls `attempt` again after a failed connection, waiting twice as long each time.
pub fn retry_with_backoff(attempt: impl Fn() -> bool, mut delay: Duration) {
    while !attempt() {
        std::thread::sleep(delay);
        delay *= 2;
    }
}
"""


def plant(root: Path) -> Path:
    """A small project: two languages, a binary, something ignored."""
    for path, text in {
        "bank/ledger.py": LEDGER,
        "net/retry.rs": RETRY,
        "README.md": "# Bank\n\nKeeps accounts and talks to other banks.\n",
        ".gitignore": "target/\n",
        "target/debug.py": "x = 1\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "logo.bin").write_bytes(b"\0\1\2\3" * 64)
    return root
