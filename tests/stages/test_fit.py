"""Whether a release fits, and what is proposed when it does not, on a plan of a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pipeline.errors import DoesNotFit
from pipeline.release.macs import GIB, smallest_mac
from pipeline.release.recipe import Assigned, Module, Precision, Unquantized
from pipeline.release.schema import Fit
from pipeline.stages.fit import cheapest, check_fit, fits, relaxations, usable
from pipeline.weights.layout import TensorClass

MILLION = 1_000_000
BITS = {"up_proj": Precision(4), "down_proj": Precision(6), "q_proj": Unquantized("bfloat16"), "lm_head": Precision(2)}
SIZES = {"up_proj": 400, "down_proj": 100, "q_proj": 20, "lm_head": 30}  # millions of weights in each of two layers


@dataclass(frozen=True)
class PerToken:
    """A cache of so many bytes a token."""

    size: int

    def nbytes(self, context):
        return self.size * context


@dataclass(frozen=True)
class Planned:
    nbytes: int
    classes: tuple[TensorClass, ...]
    cache: PerToken | None


def given():
    return [
        Assigned(Module(f"model.layers.{layer}.mlp.{name}", (SIZES[name] * 1000, 1000 // 64 * 64)), BITS[name], 0)
        for layer in (0, 1)
        for name in SIZES
    ]


@pytest.fixture
def modules():
    return given()


@pytest.fixture
def planned():
    rows = [TensorClass(f"mlp.{name}", str(BITS[name]), 2 * millions * MILLION, 0) for name, millions in SIZES.items()]
    return Planned(
        1_000 * MILLION, (TensorClass(rows[0].name, "4 bit g64", 1, 432 * MILLION), *rows[1:]), PerToken(1000)
    )


def fit(**keys):
    """Three quarters of the memory are usable, unless said otherwise."""
    return Fit.model_validate({"usable": "75 %"} | keys if "memory" in keys else keys)


def refusal(planned, modules, **keys):
    asked = fit(**keys)
    assert not fits(planned, asked)
    with pytest.raises(DoesNotFit) as raised:
        check_fit(planned, modules, asked, "releases/x/release.yaml")
    assert raised.value.exit_code == 2
    return str(raised.value), raised.value.hint


@pytest.mark.parametrize(
    "keys",
    [
        {"size": "1 GB"},
        {"memory": "2 GB"},
        {"memory": "1334 MB"},
        {"memory": "1 GB", "usable": "100 %"},
        {"memory": "2 GB", "context": 100_000, "beside": "400 MB"},
    ],
)
def test_what_fits_to_the_byte(keys, planned, modules):
    assert fits(planned, fit(**keys))
    check_fit(planned, modules, fit(**keys), "release.yaml")


def test_without_a_budget_everything_goes(planned, modules):
    check_fit(planned, modules, None, "release.yaml")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"size": "999 MB"}, "its weights are 1.00 GB, 1.00 MB over `size: 999 MB`"),
        ({"memory": "1332 MB"}, "1.00 GB of weights are 1.00 MB over the 1.00 GB that the GPU may use"),
        (
            {"memory": "2 GB", "context": 100_000, "beside": "401 MB"},
            "1.00 GB of weights + 0.10 GB of cache for 100,000 tokens + 401 MB beside are 1.00 MB over the 1.50 GB",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_its_parts(keys, told, planned, modules):
    message, hint = refusal(planned, modules, **keys)
    assert "releases/x/release.yaml" in message
    assert told in message
    assert "Most bytes are in mlp.up_proj at 4 bit g64: 432 MB, 43 % of the weights." in hint


def test_the_step_that_is_enough_with_the_least_to_spare_is_proposed(planned, modules):
    saved = {f"{step.name} {step.after}": step.saves for step in relaxations(modules)}
    scale = 960 / 1000  # the input dimension above
    assert saved == {
        "mlp.q_proj 8 bit g64": round(40e6 * scale * 7.5 / 8),
        "mlp.down_proj 5 bit g64": round(200e6 * scale / 8),
        "mlp.up_proj 3 bit g64": round(800e6 * scale / 8),
    }
    assert (
        "The least that helps: mlp.down_proj from 6 bit g64 to 5 bit g64 saves 24.0 MB."
        in refusal(planned, modules, size="980 MB")[1]
    )
    assert "mlp.up_proj from 4 bit g64 to 3 bit g64 saves 96.0 MB." in refusal(planned, modules, size="960 MB")[1]


def test_steps_are_taken_together_when_one_is_not_enough(modules):
    assert [step.name for step in cheapest(modules, 110 * MILLION)] == ["mlp.up_proj", "mlp.q_proj"]
    assert cheapest(modules, 1_000 * MILLION) == ()


def test_when_nothing_is_enough_that_is_said(planned, modules):
    assert "Not even every class one precision step lower" in refusal(planned, modules, size="500 MB")[1]


def test_a_shorter_context_is_proposed_where_it_would_do(planned, modules):
    keys = {"memory": "2 GB", "context": "1M", "beside": "400 MB"}
    longest = 97 * 1024
    assert f"Or ask for a context of {longest:,} tokens." in refusal(planned, modules, **keys)[1]
    assert fits(planned, fit(**{**keys, "context": longest}))
    assert not fits(planned, fit(**{**keys, "context": longest + 1024}))
    assert "context" not in refusal(planned, modules, size="500 MB", **keys)[1]


def test_a_cache_that_is_not_known_does_not_pass_for_none(planned, modules):
    unknown = Planned(planned.nbytes, planned.classes, None)
    assert fits(unknown, fit(memory="2 GB"))
    message, hint = refusal(unknown, modules, memory="2 GB", context="4k")
    assert "the cache of 4,096 tokens takes is not known" in message
    assert "Leave fit.context out" in hint


@pytest.mark.parametrize(
    ("before", "inputs", "after"),
    [
        (Precision(8), 64, "6 bit g64"),
        (Precision(2), 64, None),
        (Precision(3, 32), 32, "2 bit g32"),
        (Precision(3, method="search"), 64, "2 bit g64 search"),
        (Precision(8, 32, "mxfp8"), 64, "mxfp4"),
        (Precision(4, 32, "mxfp4"), 64, None),
        (Unquantized("float32"), 96, "8 bit g32"),
        (Unquantized("bfloat16"), 50, None),
    ],
)
def test_one_step_lower(before, inputs, after):
    [*steps] = relaxations([Assigned(Module("a", (10, inputs)), before, 0)])
    assert [str(step.after) for step in steps] == ([after] if after else [])


def test_a_mac_of_512_gb_has_that_many_gib():
    assert usable(Fit.model_validate({"memory": "512 GiB"})) == 384 * GIB
    assert usable(Fit.model_validate({"memory": "24 GiB"})) == 16 * GIB
    assert smallest_mac(384 * GIB) == 512 * GIB
    assert smallest_mac(384 * GIB + 1) is None
    assert smallest_mac(12 * GIB) == 24 * GIB
