"""The warning at the top of a card whose release was withdrawn: put in once, whatever the card says otherwise."""

from __future__ import annotations

import re

from pipeline.card.escape import Markdown, prose
from pipeline.card.front_matter import FENCE, parse


def mark(card: str, tag: str, reason: str, *, present: bool) -> str:
    """The card with the warning between its front matter, which stays to the letter, and its words.

    A warning of the same tag that is there already is replaced, so that marking twice is marking once.

    present: whether the card is that of the withdrawn release, and not of a later one in the same repository.
    """
    body = parse(card)[1] if card.startswith(FENCE) else card
    head = card.removesuffix(body)
    rest = _block(tag).sub("", body).lstrip("\n")
    return "".join(part for part in (head, "\n" if head else "", _warning(tag, reason, present), "\n", rest) if part)


def _warning(tag: str, reason: str, present: bool) -> str:
    what = "This release" if present else "An earlier release of this model"
    return (
        f"{_begin(tag)}\n> [!WARNING]\n"
        f"> **{what}, `{tag}`, has been withdrawn.** {_sentence(reason)}\n>\n"
        f"> Its files stay where they are, for those who rely on them by commit; the tag is gone.\n{_end(tag)}\n"
    )


def _sentence(reason: str) -> Markdown:
    words = prose(reason)
    return words if words.endswith((".", "!", "?", ">")) else Markdown(f"{words}.")


def _begin(tag: str) -> str:
    return f"<!-- withdrawn: {tag} -->"


def _end(tag: str) -> str:
    return f"<!-- end of withdrawn: {tag} -->"


def _block(tag: str) -> re.Pattern[str]:
    return re.compile(rf"^{re.escape(_begin(tag))}\n.*?^{re.escape(_end(tag))}\n*", re.DOTALL | re.MULTILINE)
