from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest

from pipeline.card import templates
from pipeline.card.render import render
from pipeline.errors import PipelineError
from pipeline.lock import LockedInputs
from pipeline.release.signing import Signing


@pytest.fixture
def own(demo, tmp_path):
    """A release repository with templates of its own, and the demo rendered by them."""
    folder = tmp_path / "templates"
    shutil.copytree(demo.templates, folder)

    def rendered(part, text):
        (folder / part).write_text(text)
        return replace(demo, templates=folder).card()

    return rendered


def test_a_release_repository_brings_its_own_templates(own, tmp_path):
    card = own("card.md.j2", "# {{ release.title }}, our way\n")
    assert card.endswith("\n# SmolLM2 135M Instruct in mixed precision, our way\n")
    assert templates.template_folder(tmp_path) == tmp_path / "templates"


def test_without_them_the_shipped_ones_are_used(demo, tmp_path):
    shipped = templates.template_folder(tmp_path)
    assert (shipped / "card.md.j2").is_file()
    assert render(demo.inputs) == demo.card()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{{ perplexty }}", "templates/parts/run.md.j2:2: 'perplexty' is undefined"),
        ("{% if %}", "templates/parts/run.md.j2:1: Expected an expression"),
        ("{{ release.titel }}", "templates/parts/run.md.j2:1: .* has no attribute 'titel'"),
        ("{{ ''.__class__.__mro__ }}", "templates/parts/run.md.j2:1: access to attribute '__class__'"),
        ("{% include '../secret' %}", "../secret"),
        ("{{ lock.parameters }}", "134515008 needs a filter"),
        ("{{ lock.parameters | with_error }}", "takes a perplexity"),
        ("\n\n{{ lock.bytes | code }}", "templates/parts/run.md.j2:3: TypeError: "),
        ("\n{% set x = 1/0 %}", "templates/parts/run.md.j2:2: ZeroDivisionError: division by zero"),
        ("{{ {}['a'].b | python }}{{ [] | first | size }}", "templates/parts/run.md.j2:1: "),
    ],
)
def test_a_template_that_does_not_work_is_named_with_its_line(own, text, message):
    with pytest.raises(PipelineError, match=message):
        own("parts/run.md.j2", text)


def test_text_is_escaped_however_a_template_combines_it(own):
    card = own("parts/run.md.j2", "{{ '<b>' ~ release.title }} {{ ['<i>', '<u>'] | join(', ') }} {{ '<s>' | upper }}")
    assert r"\<b\>SmolLM2" in card
    assert r"\<i\>, \<u\> \<S\>" in card


def test_no_template_holds_a_measured_number(demo):
    """Whatever digits remain when values are taken out belong to names and to addresses."""
    for path in demo.templates.rglob("*.j2"):
        text = re.sub(r"{[{%#].*?[}%#]}", "", path.read_text(), flags=re.DOTALL)
        text = text.replace("SHA-256", "").replace("http://127.0.0.1:8080/v1", "")
        assert not re.search(r"\d", text), path


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (LockedInputs("ab12" * 10, dirty=False), "the release repository at commit `ab12ab12ab12`."),
        (LockedInputs("ab12" * 10, dirty=True), "at commit `ab12ab12ab12`, with changes that were not committed."),
        (LockedInputs(None, dirty=True), "not committed to the release repository when this card was rendered."),
    ],
)
def test_a_card_names_the_commit_of_what_it_is_made_from(demo, inputs, said):
    assert f"- **Inputs:** {said}"[-60:] in demo.with_lock(inputs=inputs).card()


def test_a_card_made_outside_of_git_names_no_commit(demo):
    assert "**Inputs:**" not in demo.card()


@pytest.mark.parametrize(
    ("signing", "command"),
    [
        (
            {"public_key": "keys/a b.pub"},
            "model_signing verify key . --signature model.sig --public_key 'keys/a b.pub'",
        ),
        (
            {"certificate": "c.pem", "chain": ("a", "r")},
            "model_signing verify certificate . --signature model.sig --certificate_chain a --certificate_chain r",
        ),
        (
            {"identity": "https://x.org/a", "issuer": "https://y.org"},
            "model_signing verify . --signature model.sig --identity https://x.org/a --identity_provider https://y.org",
        ),
    ],
)
def test_a_signed_release_says_how_others_check_it(demo, signing, command):
    signed = demo.inputs.release.model_copy(update={"signing": Signing(**signing)})
    card = render(replace(demo.inputs, release=signed))
    assert f"pip install model-signing pyopenssl\n{command}\n```\n" in card
    assert "`model.sig` is a signature over all of these files" in card
    assert "signature over" not in render(replace(demo.inputs, release=signed, released=False))
    assert "signature over" not in render(demo.inputs)
