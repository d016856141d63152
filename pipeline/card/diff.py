"""What changed between the card that is committed and the card that its inputs render."""

from __future__ import annotations

import difflib


def differs(committed: str, rendered: str) -> str:
    """A unified diff, committed to rendered; empty exactly when both are equal."""
    if committed == rendered:
        return ""
    # Split at newlines only: `splitlines` would also break at characters that a card may hold inside a line.
    before, after = (text.split("\n") for text in (committed, rendered))
    return "\n".join(difflib.unified_diff(before, after, "committed", "rendered", lineterm="")) + "\n"
