"""The kinds of values that a person writes, and what every group of keys has in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints

from pipeline.release import written
from pipeline.release.layers import Layers
from pipeline.release.limits import Increase, MemoryAt

Text = Annotated[str, Field(min_length=1, title="text")]
Line = Annotated[Text, AfterValidator(written.check_line)]
Name = Annotated[str, AfterValidator(written.check_name), Field(title="name")]
Tag = Annotated[str, AfterValidator(written.check_tag), Field(title="name")]
Repo = Annotated[str, AfterValidator(written.check_repo), Field(title="OWNER/NAME")]
Commit = Annotated[str, Field(title="40 hexadecimal digits")]
File = Annotated[str, AfterValidator(written.check_file), Field(title="path")]
License = Annotated[str, AfterValidator(written.check_license), Field(title="identifier")]
Language = Annotated[str, AfterValidator(written.check_language), Field(title="code")]
# A blank at the end of a pattern means something.
Pattern = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=1),
    AfterValidator(written.check_pattern),
    Field(title="regular expression"),
]
Ranges = Annotated[Layers, BeforeValidator(written.parse_layers), Field(title="ranges such as `1-11,15`")]
Size = Annotated[int, BeforeValidator(written.parse_size), Field(title="size such as `5 GB`")]
Share = Annotated[float, BeforeValidator(written.parse_share), Field(title="share such as `10 %`")]
Tokens = Annotated[int, BeforeValidator(written.parse_tokens), Field(title="tokens such as `128k`")]
Nats = Annotated[float, BeforeValidator(written.parse_nats), Field(title="nats such as `0.05`")]
Increased = Annotated[
    Increase,
    BeforeValidator(Increase.parse),
    PlainSerializer(str),
    Field(title="`10 %`, `0.3 points` or `2 errors`"),
]
Memory = Annotated[
    MemoryAt, BeforeValidator(MemoryAt.parse), PlainSerializer(str), Field(title="memory such as `400 GB at 128k`")
]
Count = Annotated[int, Field(ge=1, le=1_000_000_000, title="whole number")]


class Written(BaseModel):
    """Anything a person typed: no key more than described, no value converted behind their back."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", str_strip_whitespace=True)
    or_text: ClassVar = False
    """Whether a text may stand here instead of keys."""
