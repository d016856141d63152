"""What a person writes in `elsewhere.yaml`: a model of others that stands beside releases on their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from pipeline.metadata.values import is_address
from pipeline.release.document import read
from pipeline.release.fields import Line, Repo, Size, Text, Written
from pipeline.release.find import elsewhere_file
from pipeline.release.load import refused, validated

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.release.places import Problem


class Elsewhere(Written):
    """`releases/NAME/elsewhere.yaml`."""

    title: Line = Field(description="What it is, in a few words.")
    label: Line = Field(description="Its name in tables and plots, such as `GGUF`.")
    base: Repo = Field(description="The repository of the base model, the same as that of the releases beside it.")
    address: Text | None = Field(default=None, description="Where it is published, an https address.")
    size: Size | None = Field(default=None, description="The bytes of its weights, where that is known.")

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not is_address(address):
            raise ValueError("must be an address that begins with https://")
        return address


def load_elsewhere(root: Path, name: str) -> Elsewhere:
    """`ReleaseFileError` holds every problem of the file."""
    problems: list[Problem] = []
    written = validated(read(root, elsewhere_file(name)), Elsewhere, problems)
    if written is None:
        raise refused(problems)
    return written
