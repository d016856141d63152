"""How a person states the license of a result: by the Hub's identifier, or by a name and a link where it has none."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator
from pydantic_core import PydanticKnownError

from pipeline.metadata.lists import identifiers
from pipeline.metadata.values import OTHER, is_address, is_file, is_license, is_license_name
from pipeline.release.fields import Written
from pipeline.release.places import did_you_mean, shown


def _check_id(value: str) -> str:
    if not is_license(value):
        also = did_you_mean(value, identifiers("licenses"))
        also = also or "; one that it does not know is written `{name: modified-mit, link: LICENSE}`"
        raise ValueError(f"must be the Hub's identifier of a license, such as `apache-2.0`, not {shown(value)}{also}")
    return value


def _check_name(value: str) -> str:
    if not is_license_name(value):
        raise ValueError(f"must be a short name in lower case, such as `modified-mit`, not {shown(value)}")
    return value


def _check_link(value: str) -> str:
    if not is_file(value) and not is_address(value):
        raise ValueError(
            f"must be a file that comes with the model, such as `LICENSE`, or an address that begins with `https://`, "
            f"not {shown(value)}"
        )
    return value


class StatedLicense(Written):
    """A license; an identifier alone is one that the Hub knows."""

    or_text: ClassVar = True
    id: Annotated[str, AfterValidator(_check_id), Field(title="identifier")] = Field(
        default=OTHER, description="As the Hub knows it."
    )
    name: Annotated[str, AfterValidator(_check_name), Field(title="name")] | None = Field(
        default=None, description="A short name for a license that the Hub does not know, such as `modified-mit`."
    )
    link: Annotated[str, AfterValidator(_check_link), Field(title="path or address")] | None = Field(
        default=None,
        description="Its text: a file that comes with the model, or an address. The base's `LICENSE` when left out.",
    )

    @model_validator(mode="after")
    def _names_what_is_other(self) -> StatedLicense:
        if self.id == OTHER and self.name is None:
            raise ValueError("needs its `name`: `{name: modified-mit, link: LICENSE}`")
        if self.id != OTHER and (self.name or self.link):
            raise ValueError(f"`{self.id}` is known to the Hub: it has no `name` and no `link` of its own")
        return self

    def written(self) -> str | dict[str, str]:
        """As short as it can be written."""
        keys: dict[str, str] = self.model_dump(exclude_none=True, exclude={"id"})
        return self.id if self.id != OTHER else keys


def _parse(value: object) -> StatedLicense:
    match value:
        case str():
            return StatedLicense(id=_check_id(value.strip()))
        case dict():
            return StatedLicense.model_validate(value)
    raise PydanticKnownError("string_type")


WrittenLicense: TypeAlias = Annotated[
    StatedLicense, PlainValidator(_parse), PlainSerializer(StatedLicense.written), Field(title="identifier, or keys")
]
