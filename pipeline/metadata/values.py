"""Single values by the Hub's rules: what an identifier has to look like, and which ones there are."""

from __future__ import annotations

import re
from typing import TypeGuard

from pipeline.metadata.lists import identifiers

OTHER = "other"
"""The license of everything that has no identifier of its own on the Hub."""
RELATIONS = frozenset({"adapter", "finetune", "merge", "quantized"})

_NO_LANGUAGE = frozenset({"code", "multilingual"})
_HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LICENSE_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,95}")
_FILE = re.compile(r"[A-Za-z0-9][\w.+-]*(?:/[A-Za-z0-9][\w.+-]*){0,7}", re.ASCII)
_ADDRESS = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?(?:/[\w.~/?#@!$&'()*+,;=%:-]*)?", re.ASCII)


def is_license(value: object) -> TypeGuard[str]:
    """One of https://huggingface.co/docs/hub/repositories-licenses, `other` included."""
    return isinstance(value, str) and value in identifiers("licenses")


def is_language(value: object) -> TypeGuard[str]:
    """A code of ISO 639-1, -2 or -3 that the Hub lists, or one of the two words that it takes instead."""
    return isinstance(value, str) and (value in identifiers("languages") or value in _NO_LANGUAGE)


def is_pipeline_tag(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value in identifiers("pipeline-tags")


def is_hub_id(value: object) -> TypeGuard[str]:
    """OWNER/NAME, or the NAME alone that old repositories have."""
    return (
        isinstance(value, str)
        and _HUB_ID.fullmatch(value) is not None
        and not any(part.endswith(("-", ".")) for part in value.split("/"))
        and "--" not in value
        and ".." not in value
        and not value.endswith(".git")
    )


def is_license_name(value: object) -> TypeGuard[str]:
    """The short name of a license that is `other`: the Hub asks for an id such as `my-license-1.0`."""
    return isinstance(value, str) and _LICENSE_NAME.fullmatch(value) is not None


def is_file(value: object) -> TypeGuard[str]:
    """A path inside a repository, such as `LICENSE`."""
    return isinstance(value, str) and len(value) <= 200 and _FILE.fullmatch(value) is not None


def is_address(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= 500 and _ADDRESS.fullmatch(value) is not None
