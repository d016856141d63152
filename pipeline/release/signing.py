"""What a person writes under `signing` in `release.yaml`: by whom what is published is signed, and nothing secret."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.release.fields import File, Line, Written


class Signing(Written):
    """Who signs what is published: by a key, by a certificate, or by an identity that Sigstore vouches for."""

    public_key: File | None = Field(
        default=None, description="The public key, as PEM: a file of the release repository. Signed by its private key."
    )
    certificate: File | None = Field(
        default=None, description="The signer's certificate, as PEM: a file of the release repository."
    )
    chain: tuple[File, ...] = Field(
        default=(),
        description="With `certificate`: the certificates above it, up to the one that is trusted; itself, where it "
        "signed itself.",
    )
    identity: Line | None = Field(
        default=None, description="For Sigstore: whom it must be signed by, such as the address of a workflow."
    )
    issuer: Line | None = Field(
        default=None,
        description="With `identity`: who vouches for it, such as `https://token.actions.githubusercontent.com`.",
    )

    @field_validator("chain")
    @classmethod
    def _is_above_a_certificate(cls, chain: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("certificate", "") is None:
            raise ValueError("says something about `certificate`, which is missing")
        return chain

    @field_validator("issuer")
    @classmethod
    def _vouches_for_an_identity(cls, issuer: str | None, info: ValidationInfo) -> str | None:
        if issuer is not None and info.data.get("identity", "") is None:
            raise ValueError("says something about `identity`, which is missing")
        return issuer

    @model_validator(mode="after")
    def _is_one_way(self) -> Signing:
        ways = [self.public_key, self.certificate, self.identity]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("needs exactly one of `public_key`, `certificate` and `identity`")
        if self.certificate and not self.chain:
            raise ValueError("needs the `chain` of its `certificate`")
        if self.identity and not self.issuer:
            raise ValueError("needs the `issuer` of its `identity`")
        return self
