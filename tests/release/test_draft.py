"""What a draft writes down is what it decided."""

from __future__ import annotations

import pytest

from pipeline.release.draft import Draft, DraftRule
from pipeline.release.load import load_recipe
from pipeline.release.recipe import Precision, Unquantized


@pytest.mark.parametrize(
    "decision",
    [Precision(3), Precision(3, 32, method="search"), Precision(4, 32, "mxfp4"), Unquantized("float16")],
    ids=str,
)
def test_a_draft_reads_back_to_the_same_decisions(decision, repository):
    draft = Draft("A draft.", (DraftRule("mlp", None, decision, "Because."),), decision)
    repository.recipe("draft", draft.text())
    recipe = load_recipe(repository.root, "draft")
    assert (recipe.rules[0].decision, recipe.otherwise) == (decision, decision)
