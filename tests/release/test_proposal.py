from __future__ import annotations

from pipeline.release.layers import layer_class, layer_of
from pipeline.release.load import load_recipe
from pipeline.release.proposal import propose, shares
from pipeline.release.recipe import Module, Precision, Unquantized, assign
from pipeline.release.solve import Choice, Solution, Unit

# Names of which one ends in another, experts that are a list, and a class inside and outside of the layers.
MODULES = [
    Module("model.embed_tokens", (96, 64)),
    *(
        Module(f"model.layers.{layer}.{name}", (64, 64), Precision(8) if name == "mlp.gate" else None)
        for layer in range(12)
        for name in ("mlp.gate_proj", "switch_mlp.gate_proj", "experts.0.w1", "experts.1.w1", "mlp.gate", "self_attn.o")
    ),
    Module("lm_head", (96, 64)),
    Module("visual.lm_head", (96, 64)),
]


def precision(module):
    layer = layer_of(module.path)
    if module.architecture:
        return module.architecture
    if "switch_mlp" in module.path:
        return Precision(3 if layer in {0, 1, 2, 7} else 2)
    if "mlp" in module.path:
        return Precision(4 if layer % 2 else 5)
    return Unquantized("bfloat16") if "lm_head" in module.path else Precision(8)


def solved():
    groups = {}
    for module in MODULES:
        groups.setdefault((layer_class(module.path), layer_of(module.path)), []).append(module)
    units = [Unit(*key, tuple(module.path for module in group), ()) for key, group in groups.items()]
    choices = [Choice(precision(group[0]), 1000, 0.5) for group in groups.values()]
    errors = {(module.path, precision(module)): 0.25 for module in MODULES}
    return shares(units, Solution(tuple(choices), 0, 0.0, 0.0), errors)


def test_the_recipe_gives_every_module_what_was_chosen(repository):
    repository.recipe("solved", propose(solved(), MODULES, "1 GB", ["One."]).text())
    recipe = load_recipe(repository.root, "solved")
    assert assign(recipe, MODULES).precisions == {module.path: precision(module) for module in MODULES}


def test_rules_are_few_and_layers_are_ranges():
    rules = propose(solved(), MODULES, "1 GB", []).rules
    assert [(rule.match, str(rule.layers or ""), str(rule.decision)) for rule in rules] == [
        ("embed_tokens$", "", "8 bit g64"),
        (r"\.mlp\.gate_proj$", "1,3,5,7,9,11", "4 bit g64"),
        (r"\.mlp\.gate_proj$", "", "5 bit g64"),
        (r"switch_mlp\.gate_proj$", "0-2,7", "3 bit g64"),
        (r"switch_mlp\.gate_proj$", "", "2 bit g64"),
        (r"(^|\.)experts\.(\d+\.)*w1$", "", "8 bit g64"),
        (r"self_attn\.o$", "", "8 bit g64"),
        ("lm_head$", "", "bfloat16"),
    ]


def test_shares_add_up():
    of_class = {(share.name, str(share.decision)): share for share in solved()}
    share = of_class["switch_mlp.gate_proj", "3 bit g64"]
    assert (str(share.layers), share.nbytes, share.error, len(share.modules)) == ("0-2,7", 4000, 0.25, 4)
    assert sum(len(share.modules) for share in of_class.values()) == len(MODULES)
