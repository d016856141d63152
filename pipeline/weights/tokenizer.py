"""What the files of a base's tokenizer say of it; none of them is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.weights.config import decode, tokenizer_is_code

if TYPE_CHECKING:
    from pipeline.weights.base import BaseModel, ReadFile

_CONFIG = "tokenizer_config.json"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class TokenizerFiles:
    """is_code: it is Python code of the repository; chats: it brings a chat template; thinks: which knows thinking."""

    is_code: bool
    chats: bool
    thinks: bool


def tokenizer_files(base: BaseModel, read: ReadFile) -> TokenizerFiles:
    """By `read(path, start, length)`; a tokenizer that is code may bring its chat template in there."""

    def text(path: str) -> bytes:
        return read(path, 0, base.files[path].size) if path in base.files and base.files[path].size else b""

    table = decode(_CONFIG, text(_CONFIG) or b"{}")
    templates = [str(table.get("chat_template") or ""), *(text(path).decode("utf-8", "replace") for path in _TEMPLATES)]
    is_code = tokenizer_is_code(table, base.config)
    return TokenizerFiles(is_code, is_code or any(templates), any("think" in template for template in templates))
