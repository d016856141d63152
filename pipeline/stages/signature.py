"""Signatures of OpenSSF Model Signing over files of known digests, made and checked by the package `model-signing`."""

from __future__ import annotations

import base64
import importlib
import json
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.errors import HubError, PipelineError, UsageError
from pipeline.hub.deadline import within
from pipeline.hub.said import one_line
from pipeline.manifest import SUMS, File, Manifest, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model_signing import hashing, verifying
    from model_signing import signing as making

    from pipeline.manifest import Json
    from pipeline.release.signing import Signing

FILE = "model.sig"
"""Where verifiers look for it."""

UNSIGNED = frozenset({"README.md", SUMS, FILE})
"""A withdrawal changes the card, which is made from files that are signed; SHA256SUMS names the signature's digest."""

_BESIDE = (".cache/huggingface", ".git", ".gitattributes", ".github", ".gitignore")
"""What no release publishes, and a copy by `hf download` or git holds all the same; verifiers pass it over."""

_PATIENCE = 600  # seconds; Sigstore's own client waits for ever
KEY, PASSPHRASE = "PIPELINE_SIGNING_KEY", "PIPELINE_SIGNING_PASSPHRASE"
"""What the environment says: the file of the private key, and what it is encrypted with."""

_AUDIENCE = "sigstore"


@dataclass(frozen=True)
class Signer:
    """Who signs, by files below `root`: everything but the private key, which only the environment names."""

    signing: Signing
    root: Path

    @property
    def by(self) -> str:
        """In a few words, for people."""
        asked = self.signing
        if asked.identity:
            return f"{asked.identity}, for whom {asked.issuer} vouches"
        return f"the key of {asked.public_key or asked.certificate}"

    def settings(self) -> Mapping[str, Json]:
        """What would make it another signer: names, and the digests of the files; a missing file has none."""
        files = {name: self.root / name for name in self._files}
        return {
            **self.signing.model_dump(mode="json", exclude_defaults=True),
            "digests": {name: sha256(path) if path.is_file() else None for name, path in files.items()},
        }

    def check(self) -> None:
        """Whether everything is there to sign with, by signing a trial; `PipelineError` says what is not.

        Sigstore is not asked, since whatever it signs is public for ever: only whether there is an identity here.
        """
        _check_installed()
        for name in self._files:
            if not (self.root / name).is_file():
                raise UsageError(f"{name}, by which `signing` knows the signer, is not there")
        if self.signing.identity:
            _check_identity()
        else:
            self.sign("trial", Manifest((File("trial", 0, "0" * 64),)))

    def sign(self, name: str, files: Manifest) -> bytes:
        """The signature file, made without reading a file; `PipelineError` when it is not by whom it should be."""
        _check_installed()
        from model_signing import signing as making

        config = making.Config().set_hashing_config(_known(name, files))  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / FILE
            try:
                self._use_signer(config)
                within(_PATIENCE, f"sign the release by {self.by}", lambda: config.sign(name, target))
            except PipelineError:
                raise
            except Exception as error:  # whatever Sigstore and the network do
                failure = HubError if self.signing.identity else PipelineError
                raise failure(
                    f"the release could not be signed: {one_line(error)}",
                    hint="Nothing was published. The same command goes on here.",
                ) from error
            if why := self.wrong(files, target):
                raise PipelineError(
                    f"what was signed here is not by {self.by}: {why}",
                    hint=f"Let {KEY} name the other half of that key, or correct `signing` in release.yaml.",
                )
            return target.read_bytes()

    def wrong(self, files: Manifest, signature: Path) -> str | None:
        """Why a signature file does not hold over exactly these files, known by their SHA-256; None where it does."""
        _check_installed()
        from model_signing import verifying

        config = verifying.Config().set_hashing_config(_known("model", files))  # type: ignore[no-untyped-call]
        try:
            self._use_verifier(config, signature)
            within(_PATIENCE, f"check the signature by {self.by}", lambda: config.verify("model", signature))
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - a file of others, which may be anything
            return _other_files(files, signature) if "Signature mismatch" in str(error) else one_line(error)
        return None

    @property
    def _files(self) -> tuple[str, ...]:
        named = (self.signing.public_key, self.signing.certificate, *self.signing.chain)
        return tuple(name for name in named if name)

    def _use_signer(self, config: making.Config) -> None:
        if self.signing.identity:
            _check_identity()
            config.use_sigstore_signer(use_ambient_credentials=True)
            return
        path = os.environ.get(KEY)
        if not path:
            raise UsageError(
                f"the release is to be signed by {self.by}, and {KEY} is not set",
                hint=f"Let {KEY} name the file of the private key, as PEM, and {PASSPHRASE} hold its passphrase, if it "
                "has one; or leave `signing` out of release.yaml.",
            )
        # No text of the library gets out of here, and no value of the environment: one of them may be the key itself.
        try:
            if self.signing.public_key:
                # The library hands it on to one that takes bytes only, whatever its own signature says.
                passphrase = cast("str | None", os.environ.get(PASSPHRASE, "").encode() or None)
                config.use_elliptic_key_signer(private_key=path, password=passphrase)
            else:
                config.use_certificate_signer(
                    private_key=path,
                    signing_certificate=self.root / str(self.signing.certificate),
                    certificate_chain=[self.root / name for name in self.signing.chain],
                )
        except Exception:  # noqa: BLE001
            also = "" if self.signing.public_key else ", not encrypted, and that of the certificate"
            raise PipelineError(
                f"what {KEY} names is no private key that can be used",
                hint=f"It has to be the file of an elliptic curve key (P-256, P-384 or P-521), as PEM{also}"
                + (f"; {PASSPHRASE} has to be its passphrase, or unset without one." if not also else "."),
            ) from None

    def _use_verifier(self, config: verifying.Config, signature: Path) -> None:
        asked = self.signing
        if asked.identity:
            try:
                config.use_sigstore_verifier(identity=asked.identity, oidc_issuer=str(asked.issuer))
            except Exception as error:
                raise PipelineError(
                    f"Sigstore did not tell by what signatures are checked: {one_line(error)}",
                    hint="Run the same command again, where the network reaches Sigstore.",
                ) from error
        elif asked.public_key:
            config.use_elliptic_key_verifier(public_key=self.root / asked.public_key)
        else:
            # The library is content with any certificate below the trusted ones.
            [first, *_] = json.loads(signature.read_bytes())["verificationMaterial"]["x509CertificateChain"][
                "certificates"
            ]
            own = ssl.PEM_cert_to_DER_cert((self.root / str(asked.certificate)).read_text(encoding="ascii"))
            if first["rawBytes"] != base64.b64encode(own).decode():
                raise ValueError("it is by another certificate")
            config.use_certificate_verifier(certificate_chain=[self.root / name for name in asked.chain])


class _Known:
    """In the place of the library's `hashing.Config`, which would read every file: their digests are known."""

    def __init__(self, name: str, files: Manifest) -> None:
        self._name = name
        self._files = files

    def hash(self, _model: object, **_: object) -> object:
        from model_signing import manifest
        from model_signing._hashing.hashing import Digest

        passed_over = sorted({*UNSIGNED, *_BESIDE})
        items = [
            manifest.FileManifestItem(path=Path(file.path), digest=Digest("sha256", bytes.fromhex(file.sha256)))
            for file in self._files
        ]
        described = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": passed_over}
        return manifest.Manifest(self._name, items, manifest.SerializationType.from_args(described))

    def add_ignored_paths(self, **_: object) -> None:
        """What a signature passes over is not among the files that are compared with it."""


def _known(name: str, files: Manifest) -> hashing.Config:
    return cast("hashing.Config", _Known(name, files))


def signed(files: Manifest) -> Manifest:
    """Those of the published files that a signature is about."""
    return Manifest(tuple(file for file in files if file.path not in UNSIGNED))


def _other_files(files: Manifest, signature: Path) -> str:
    """Which files a signature that is good says something else about."""
    payload = json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]
    listed = {row["name"]: row["digest"] for row in json.loads(base64.b64decode(payload))["predicate"]["resources"]}
    here = {file.path: file.sha256 for file in files}
    other = sorted(path for path in {*listed, *here} if listed.get(path) != here.get(path))
    return f"it is of other files than these: {one_line(', '.join(other))}"


def _check_installed() -> None:
    try:
        importlib.import_module("model_signing")
    except ImportError as error:
        raise UsageError(
            f"release.yaml asks for `signing`, and what does it is not installed: {one_line(error)}",
            hint="Install it with `pip install 'pipeline[signing]'`, or leave `signing` out of release.yaml.",
        ) from None


def _check_identity() -> None:
    from sigstore.oidc import IdentityError, detect_credential

    try:
        found = detect_credential(_AUDIENCE)
    except IdentityError:
        found = None
    if not found:
        raise UsageError(
            "the release is to be signed through Sigstore, and nothing here vouches for an identity",
            hint="Release from a workflow that may ask for one (`permissions: id-token: write` on GitHub), or sign by "
            "`public_key`.",
        )
