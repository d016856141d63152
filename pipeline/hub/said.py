"""What a Hub or a person there said, as it may stand in a message: one line, and nothing secret."""

from __future__ import annotations

import re

# Tokens, and what makes an address valid: the query of a signed one, or the signature in one of the embedded Hub's.
_SECRET = re.compile(r"\bhf_\w{4,}|(?<=\bBearer )\S+|(?<=\?)\S+=\S*|(?<=/signed/)\w+", re.IGNORECASE)


def one_line(value: object) -> str:
    """The first line, at most 300 characters of it; the name of its type when there is none."""
    lines = [line.strip() for line in str(value).splitlines() if line.strip()]
    return _SECRET.sub("...", lines[0])[:300] if lines else type(value).__name__
