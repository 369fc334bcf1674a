"""The objective of an arm: sums, independence, resuming; and what every term must fulfil."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from wcord.models import Output
from wcord.objectives import TERMS, Objective
from wcord.objectives.term import Batch, FirstPassBatch, Shapes

N, CLASSES = 40, 4
MAPS = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
SHAPES = Shapes(7, 5, CLASSES, CLASSES, True, N, MAPS, MAPS)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABEL = torch.arange(N) % CLASSES


def output(seed: int, dim: int, index: Tensor) -> Output:
    maps = tuple(draw(seed + k, N, *shape)[index].relu() for k, shape in enumerate(MAPS))
    features = draw(seed, N, dim).relu() + 0.1
    return Output(features[index], draw(seed + 9, N, CLASSES)[index], maps)


def first_pass() -> Iterator[FirstPassBatch]:
    for index in torch.arange(N).split(16):
        yield FirstPassBatch(index, LABEL[index], output(1, 7, index), output(20, 5, index))


def build(terms: dict[str, dict[str, Any]], seed: int = 0, shapes: Shapes = SHAPES) -> Objective:
    settings = {name: TERMS[name].Settings.model_validate(s) for name, s in terms.items()}
    result = Objective(settings, shapes, seed)
    result.fill_banks(first_pass)
    return result


def at(step: int) -> tuple[Batch, Output, Output]:
    index = torch.randperm(N, generator=torch.Generator().manual_seed(step))[:8]
    labelled = torch.arange(8) % 2 == 0
    batch = Batch(index, LABEL[index], labelled, LABEL[index], step, 0)
    return batch, output(1, 7, index), output(20, 5, index)


def alone(name: str) -> tuple[Objective, Batch, Output, Output]:
    """Return an objective of one term, and a batch with labels of its kind."""
    batch, teacher, student = at(0)
    targets = TERMS[name].targets or "classes"
    if targets != "classes":
        several = draw(3, 8, CLASSES) if targets == "regression" else draw(3, 8, CLASSES) > 0
        batch = replace(batch, label=several)
    return build({name: {}}, shapes=replace(SHAPES, targets=targets)), batch, teacher, student


def train(objective: Objective, optimizer: Any, steps: range) -> list[dict[str, float]]:
    seen = []
    for step in steps:
        total, losses = objective(*at(step))
        if optimizer is not None:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        objective.update()
        seen.append({name: loss.item() for name, loss in losses.items()})
    return seen


OF_CLASSES = [name for name, term in TERMS.items() if term.targets in (None, "classes")]
EVERYTHING: dict[str, dict[str, Any]] = {name: {} for name in OF_CLASSES}


def test_total_is_the_weighted_sum() -> None:
    objective = build(
        {"ce": {"weight": 2}, "kd": {}, "gckt": {"weight": 0.5}, "lckt": {"weight": 0}}
    )
    total, losses = objective(*at(0))
    expected = 2 * losses["ce"] + 0.9 * losses["kd"] + 0.5 * losses["gckt"]
    torch.testing.assert_close(total, expected)
    assert list(losses) == ["ce", "kd", "gckt", "lckt"]


def test_a_weight_of_zero_has_no_gradient() -> None:
    objective = build({"ce": {}, "hint": {"weight": 0}})
    batch, teacher, student = at(0)
    logits = student.logits.clone().requires_grad_()
    total, losses = objective(batch, teacher, Output(student.features, logits))
    total.backward()
    assert losses["hint"] > 0
    assert all(p.grad is None for p in objective.parameters())


def test_lckt_takes_gckts_embeddings_rather_than_crds() -> None:
    objective = build({"lckt": {"plan": "identity"}, "gckt": {"dim": 3}, "crd": {"dim": 3}})
    batch, teacher, student = at(0)
    z_t, z_s = objective.embed(teacher.features, student.features)  # type: ignore[misc]
    expected = 1 - torch.cosine_similarity(z_t, z_s).mean()
    torch.testing.assert_close(objective(batch, teacher, student)[1]["lckt"], expected)
    assert objective.critic is objective.terms["gckt"].critic


def test_a_terms_numbers_do_not_depend_on_its_neighbours() -> None:
    """Nor on the global generator, before or in between."""
    gckt = {"form": "nce", "negatives_count": 9}
    seen = []
    for settings in ({"gckt": gckt}, {"ce": {}, "hint": {}, "crd": {}, "gckt": gckt}):
        torch.manual_seed(len(settings))
        objective = build(settings)
        optimizer = torch.optim.Adam(objective.parameters(), 0.01)
        losses = []
        for step in range(4):
            torch.rand(len(settings))
            losses.append(train(objective, optimizer, range(step, step + 1))[0]["gckt"])
        seen.append(losses)
    assert seen[0] == seen[1]


def test_construction_and_training_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    train(build(EVERYTHING), None, range(2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_seed_decides_the_start() -> None:
    states = [build({"gckt": {}}, seed).state_dict() for seed in (0, 0, 1)]
    assert all(
        torch.equal(states[0][k], states[1][k]) or v.isnan().all() for k, v in states[1].items()
    )
    key = "terms.gckt.critic.project_teacher.free"
    assert not torch.equal(states[0][key], states[2][key])


def test_resumes_to_the_same_numbers() -> None:
    settings = {**EVERYTHING, "gckt": {"form": "nce", "negatives_count": 9}}
    objective = build(settings)
    optimizer = torch.optim.Adam(objective.parameters(), 0.01)
    train(objective, optimizer, range(3))
    state = {k: v.clone() for k, v in objective.state_dict().items()}
    moments = deepcopy(optimizer.state_dict())
    restored = Objective(objective.settings, SHAPES, 0)  # its banks come from `state`
    restored.load_state_dict(state)
    resumed = torch.optim.Adam(restored.parameters(), 0.01)
    resumed.load_state_dict(moments)
    assert train(objective, optimizer, range(3, 7)) == train(restored, resumed, range(3, 7))
    assert restored.logs.keys() == objective.logs.keys()


@pytest.mark.parametrize("name", TERMS)
def test_every_term_gives_a_finite_scalar_that_reaches_the_student(name: str) -> None:
    objective, batch, teacher, student = alone(name)
    h = student.features.clone().requires_grad_()
    logits = student.logits.clone().requires_grad_()
    maps = tuple(m.clone().requires_grad_() for m in student.maps)
    _, losses = objective(batch, teacher, Output(h, logits, maps))
    loss = losses[name]
    assert loss.ndim == 0 and loss.dtype == torch.float32 and loss.isfinite()
    loss.backward()
    gradients = [x.grad for x in (h, logits, *maps) if x.grad is not None]
    assert any(g.any() for g in gradients) and all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_computed_in_float32_under_autocast(name: str) -> None:
    objective, *inputs = alone(name)
    plain = objective(*inputs)[0]
    with torch.autocast("cpu", torch.bfloat16):
        cast = objective(*inputs)[0]
    assert cast.dtype == torch.float32
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)


def test_unlike_label_sets_refuse_logits_and_keep_features() -> None:
    shapes = Shapes(7, 5, CLASSES, 3, False, N, MAPS, MAPS)
    on_logits = [name for name, term in TERMS.items() if term.needs_logits]
    assert "kd" in on_logits
    for name in OF_CLASSES:
        settings = {name: TERMS[name].Settings()}
        if name in on_logits:
            with pytest.raises(ValueError, match=rf"^{name} compares logits[^\n]+remove {name}"):
                Objective(settings, shapes, 0)
        else:
            Objective(settings, shapes, 0)


def test_terms_on_maps_are_refused_without_maps() -> None:
    shapes = Shapes(7, 5, CLASSES, CLASSES, True, N)
    for name, term in TERMS.items():
        if term.needs_maps:
            with pytest.raises(ValueError, match=rf"^{name} compares feature maps[^\n]+"):
                Objective({name: term.Settings()}, shapes, 0)


def test_unknown_term_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'gckt'"):
        Objective({"gktc": TERMS["ce"].Settings()}, SHAPES, 0)


def test_every_term_states_its_settings_and_source() -> None:
    for name, term in TERMS.items():
        assert term.name == name
        assert (term.__doc__ or "").count("=") >= 1, name
        assert name == "ce" or "Source:" in (term.__doc__ or ""), name
        for key, info in term.Settings.model_fields.items():
            assert info.description, f"{name}.{key}"
