from __future__ import annotations

import pytest

from pipeline.metadata import values

BIDI = "\N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.mark.parametrize(
    ("holds", "good", "bad"),
    [
        (values.is_license, ["mit", "other", "llama3.3"], ["MIT", "mit\n", "modified-mit", "", None, ["mit"]]),
        (values.is_language, ["en", "no", "yue", "code", "multilingual"], ["EN", "en-US", "xx", "english", False, 7]),
        (values.is_pipeline_tag, ["text-generation", "image-text-to-text"], ["text-gen", "Text Generation", None]),
        (
            values.is_hub_id,
            ["gpt2", "demo/SmolLM2-135M", "a_b/c.d", "x" * 96 + "/" + "y" * 96],
            ["a/b/c", "/a", "a/", "a--b", "a..b", "-a/b", "a/b-", "a/b.", "a/b.git", "a b", f"a{BIDI}b", "x" * 97],
        ),
        (values.is_license_name, ["modified-mit", "my-license-1.0"], ["Modified MIT", "a\nb", "", "<b>", None]),
        (
            values.is_file,
            ["LICENSE", "LICENSE.md", "legal/LICENSE-2.0.txt"],
            ["../LICENSE", "/LICENSE", "a//b", "", "a b", ".git", "x" * 201, f"LICENSE{BIDI}", "{{x}}", None],
        ),
        (
            values.is_address,
            ["https://coqui.ai/cpml", "https://example.org:8443/a?b=c#d", "https://a.org"],
            [
                "http://a.org", "javascript:alert(1)", "https://", "https://a.org/<script>", 'https://a.org/"x',
                "https://a.org/ b", f"https://a.org/{BIDI}", "https://a.org/\n---", "https://a.org/" + "x" * 500, None,
            ],
        ),
    ],
    ids=["license", "language", "task", "id", "name", "file", "address"],
)  # fmt: skip
def test_what_keeps_the_rules_and_what_does_not(holds, good, bad):
    assert [one for one in good if not holds(one)] == []
    assert [one for one in bad if holds(one)] == []
