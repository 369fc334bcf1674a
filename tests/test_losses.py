"""Losses for a training loop of one's own: equal to the own loop, and misuse is found."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import wcord
from wcord import losses
from wcord.losses.optimizer_check import PATIENCE
from wcord.losses.saved_state import decoded
from wcord.models import Output
from wcord.objectives import TERMS
from wcord.objectives.gckt import GCKTSettings
from wcord.objectives.term import Batch, Shapes
from wcord.runs.trained_students import build_student
from wcord.training.inputs import network_inputs, read_data
from wcord.training.optimizer import learning_rate
from wcord.training.task import Task
from wcord.training.teacher import obtain

N, N_BATCH, D_T, D_S, CLASSES = 60, 12, 10, 6, 3

NAMED = {
    "gckt": losses.GCKTLoss,
    "lckt": losses.LCKTLoss,
    "crd": losses.CRDLoss,
    "hint": losses.HintLoss,
    "vid": losses.VIDLoss,
    "itrd": losses.ITRDLoss,
    "sp": losses.SPLoss,
    "rkd": losses.RKDLoss,
    "pkt": losses.PKTLoss,
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Small(nn.Module):
    """A student with features of length D_S."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first, self.fc = nn.Linear(8, D_S), nn.Linear(D_S, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.first(x).tanh())


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (N, 8), teacher features (N, D_T) and labels (N,)."""
    return numbers(N, 8), numbers(N, D_T, seed=1), torch.arange(N) % CLASSES


def batches(steps: int, n: int = N_BATCH) -> Iterator[Tensor]:
    """Yield the index of each step: shuffled epochs of all samples."""
    draw = torch.Generator().manual_seed(5)
    while True:
        for part in torch.randperm(N, generator=draw).split(n):
            if steps == 0:
                return
            steps -= 1
            yield part


def primed(loss: losses.FeatureLoss, student: nn.Module) -> losses.FeatureLoss:
    x, teacher, labels = inputs()
    h = wcord.features(student)(x).detach()
    loss.prime(teacher=teacher, student=h, labels=labels if loss.needs_labels else None)
    return loss


def train(
    loss: losses.FeatureLoss,
    student: nn.Module,
    steps: int,
    optimizer: torch.optim.Optimizer | None = None,
    indices: Iterator[Tensor] | None = None,
) -> None:
    x, teacher, labels = inputs()
    parameters = [*student.parameters(), *loss.parameters()]
    optimizer = optimizer or torch.optim.SGD(parameters, lr=0.05)
    take = wcord.features(student)
    for index in indices or batches(steps):
        logits, h = take.with_output(x[index])
        total = F.cross_entropy(logits, labels[index]) + loss(teacher[index], h, index)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()


# -- the same numbers as the own loop --------------------------------------------------------

ARMS: dict[str, dict[str, Any]] = {
    "wcord": {"ce": 1, "gckt": 5, "lckt": 0.5},
    "nce": {"ce": 1, "gckt": {"form": "nce", "weight": 0.8, "negatives_count": 100}, "lckt": 0.5},
    "joint": {"ce": 1, "gckt": {"critic": "joint", "negatives_count": 16, "width": 8}, "lckt": 1},
    "crd": {"ce": 1, "crd": {"negatives_count": 200}},
    "shelf": {"ce": 1, "hint": 2, "vid": 0.1, "sp": 10, "rkd": 1, "pkt": 100, "itrd": 0.1},
}


@pytest.mark.slow
def test_a_plain_loop_gives_the_numbers_of_distill() -> None:
    """Fifty steps and more, five arms: every weight of every student within 1e-6."""
    experiment = wcord.load("digits-compression").replace(
        {"epochs": 5, "teacher.epochs": 4, "arms": ARMS}
    )
    run = wcord.distill(experiment, progress=False)
    data = read_data(experiment)
    sides = network_inputs(experiment, data)
    teacher, _ = obtain(experiment, data, sides[0], run.path / "teacher.safetensors")
    task = Task(experiment, data, *sides, teacher)
    channels, height, width = sides[1].shape
    built = {"channels": channels, "size": (height, width), "classes": sides[1].labels.classes}
    images, labels = sides[1].all_images(data.train), task.labels
    assert task.total >= 50
    for arm, terms in ARMS.items():
        student = build_student(experiment, built).module.eval()
        take = wcord.features(student)
        h = take(images[:2])
        loss = wcord.FeatureLoss(
            task.cached.features.shape[1],
            h.shape[1],
            {term: value for term, value in terms.items() if term != "ce"},
            samples=len(images),
            seed=experiment.seed,
        )
        loader = DataLoader(wcord.Indexed(TensorDataset(images, labels)), 128, shuffle=True)
        groups = task.groups(torch.arange(len(images)), torch.arange(len(images)))
        loss.prime(
            loader, teacher=task.cached.features, student=take, labels=groups, progress=False
        )
        optimizer = torch.optim.Adam(
            [*student.parameters(), *loss.parameters()], weight_decay=1e-4, fused=True
        )
        student.train()
        for step in range(task.total):
            at = task.at(step)
            index, labelled = at.batch.index, at.batch.labelled
            logits, h = take.with_output(images[index])
            total = loss(task.cached.features[index], h, index=index)
            if labelled.any():
                total = total + F.cross_entropy(logits[labelled], labels[index][labelled])
            optimizer.zero_grad()
            total.backward()
            rate = learning_rate(experiment.optimizer, step, task.total, task.epoch_steps)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
        for name, value in run.student(arm).state_dict().items():
            torch.testing.assert_close(
                student.state_dict()[name], value, rtol=1e-6, atol=1e-6, msg=f"{arm}: {name}"
            )


@pytest.mark.parametrize("term", NAMED)
def test_each_class_is_its_term(term: str) -> None:
    x, teacher, labels = inputs()
    student = Small()
    loss = primed(NAMED[term](D_T, D_S, N, weight=0.5), student)
    index = torch.randperm(N, generator=torch.Generator().manual_seed(1))[:N_BATCH]
    h = wcord.features(student)(x[index])
    value = loss(teacher[index], h, index=index)
    classes = CLASSES if loss.needs_labels else 1
    shapes = Shapes(D_T, D_S, classes, classes, True, N)
    settings = TERMS[term].Settings(weight=0.5)
    other = wcord.objectives.Objective({term: settings}, shapes, 0).terms[term]
    other.load_state_dict(loss.objective.terms[term].state_dict())
    batch = Batch(index, labels[index], labels[index] >= 0, labels[index], 0, 0)
    none = torch.zeros(N_BATCH, 0)
    expected = other(batch, Output(teacher[index], none), Output(h, none), {})
    torch.testing.assert_close(value, 0.5 * expected)
    torch.testing.assert_close(loss.logs[term], expected.detach())
    (gradient,) = torch.autograd.grad(value, h)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_settings_as_keywords_dictionary_or_object_are_the_same() -> None:
    given = [
        wcord.GCKTLoss(D_T, D_S, N, form="infonce", temperature=0.2),
        wcord.GCKTLoss(D_T, D_S, N, settings={"form": "infonce", "temperature": 0.2}),
        wcord.GCKTLoss(D_T, D_S, N, settings=GCKTSettings(form="infonce", temperature=0.2)),
        wcord.GCKTLoss(D_T, D_S, N, settings={"form": "infonce"}, temperature=0.2),
    ]
    assert len({repr(loss.objective.settings) for loss in given}) == 1
    both = wcord.WCoRDLoss(D_T, D_S, N, gckt=2.0, lckt={"epsilon": 0.2})
    assert both.objective.weights == {"gckt": 2.0, "lckt": 0.05}
    assert both.objective.settings["lckt"].epsilon == 0.2  # type: ignore[attr-defined]


def test_lckt_needs_no_index_no_bank_and_no_prime() -> None:
    loss = wcord.LCKTLoss(D_T, D_S)
    value = loss(numbers(8, D_T), numbers(8, D_S).requires_grad_())
    assert value.isfinite() and not loss.needs_prime


# -- banks, steps, modes -------------------------------------------------------------------------


def equal(one: nn.Module | dict[str, Any], other: nn.Module | dict[str, Any]) -> bool:
    """Return whether two states are the same, NaN (a normaliser before its first use) included."""
    a, b = (x.state_dict() if isinstance(x, nn.Module) else x for x in (one, other))
    return a.keys() == b.keys() and all(
        torch.equal(a[key].nan_to_num(), b[key].nan_to_num()) for key in a
    )


def test_state_dict_holds_what_the_last_step_learnt_and_training_goes_on_from_it() -> None:
    student, again = Small(), Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N, gckt={"negatives_count": 7}), student)
    train(loss, student, 9)
    saved, weights = copy.deepcopy(loss.state_dict()), copy.deepcopy(student.state_dict())
    assert decoded(saved["_extra_state"])["steps"] == 9
    loss.flush()
    assert equal(saved, loss)
    train(loss, student, 4)
    other = wcord.WCoRDLoss(D_T, D_S, N, gckt={"negatives_count": 7})
    other.load_state_dict(saved)
    again.load_state_dict(weights)
    assert other.primed and other.steps == 9
    train(other, again, 4)
    assert equal(student, again) and equal(loss, other)


def test_the_number_of_classes_is_loaded_with_the_state() -> None:
    loss = primed(wcord.CRDLoss(D_T, D_S, N), Small())
    other = wcord.CRDLoss(D_T, D_S, N)
    other.load_state_dict(loss.state_dict())
    train(other, Small(), 3)


@pytest.mark.parametrize("mode", ["eval", "no_grad"])
def test_evaluation_writes_nothing(mode: str) -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N, gckt={"form": "nce", "weight": 1}), student)
    train(loss, student, 3)
    before = copy.deepcopy(loss.state_dict())
    x, teacher, _ = inputs()
    index = torch.arange(N_BATCH)
    if mode == "eval":
        loss.eval()
    with torch.set_grad_enabled(mode == "eval"):
        h = wcord.features(student)(x[index])
        first = loss(teacher[index], h, index)
        assert torch.equal(first, loss(teacher[index], h, index))
    assert equal(before, loss)


def test_several_calls_before_one_backward_pass_have_the_right_gradient() -> None:
    x, teacher, _ = inputs()
    student = Small()
    take = wcord.features(student)
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N, gckt={"form": "infonce"}), student)
    first, second = torch.arange(10), torch.arange(20, 30)

    def total(index: Tensor) -> Tensor:
        return loss(teacher[index], take(x[index]), index)

    accumulated = copy.deepcopy(loss)
    (total(first) + total(second)).backward()
    together = [p.grad.clone() for p in student.parameters() if p.grad is not None]
    loss = accumulated  # now with a backward pass after each call
    student.zero_grad()
    total(first).backward()
    total(second).backward()
    separate = [p.grad for p in student.parameters() if p.grad is not None]
    for one, other in zip(together, separate, strict=True):
        torch.testing.assert_close(one, other)


def test_a_copy_of_a_loss_goes_on_alone() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    train(loss, student, 3)
    other = copy.deepcopy(loss)
    before = copy.deepcopy(loss.state_dict())
    train(other, copy.deepcopy(student), 3)
    assert equal(before, loss)
    assert other.steps == 6 and loss.steps == 3


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_features_are_widened_also_under_autocast(half: torch.dtype) -> None:
    x, teacher, _ = inputs()
    index = torch.arange(N_BATCH)
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student).eval()
    h = wcord.features(student)(x[index]).detach().to(half).requires_grad_()
    t = teacher[index].to(half)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(t, h, index)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(t.float(), h.float(), index))


def test_a_loss_in_double_precision_computes_in_it() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student).double()
    x, teacher, _ = inputs()
    index = torch.arange(N_BATCH)
    value = loss(teacher[index], wcord.features(student)(x[index]), index)
    assert value.dtype == torch.float64


# -- prime ---------------------------------------------------------------------------------------


def loaders() -> dict[str, Any]:
    x, _, labels = inputs()
    dataset = TensorDataset(x, labels)

    class Dicts:
        def __len__(self) -> int:
            return N

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"x": x[index], "labels": labels[index]}

    return {
        "ordered": DataLoader(wcord.Indexed(dataset), 7),
        "shuffled": DataLoader(wcord.Indexed(dataset), 9, shuffle=True),
        "dictionaries": DataLoader(wcord.Indexed(Dicts()), 9, shuffle=True),
        "generator": (batch for batch in DataLoader(wcord.Indexed(dataset), 60)),
    }


@pytest.mark.parametrize("kind", ["ordered", "shuffled", "dictionaries", "generator"])
def test_every_loader_primes_to_the_same_state(kind: str) -> None:
    _, teacher, labels = inputs()
    student = Small().train()
    expected = wcord.CRDLoss(D_T, D_S, N)
    expected.prime(teacher=teacher, student=wcord.features(student)(inputs()[0]), labels=labels)
    loss = wcord.CRDLoss(D_T, D_S, N)
    take = wcord.features(student)
    loss.prime(loaders()[kind], teacher=teacher, student=take, progress=False)
    assert student.training and loss.primed
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(loss.state_dict()[key], value, equal_nan=True)


def test_prime_runs_modules_in_evaluation_mode_and_restores_each_mode() -> None:
    module = nn.Sequential(nn.Linear(8, D_S), nn.BatchNorm1d(D_S), nn.Dropout(0.5)).train()
    module[1].eval()
    before = copy.deepcopy(module.state_dict())
    loss = wcord.HintLoss(D_T, D_S)
    loss.prime(loaders()["shuffled"], teacher=inputs()[1], student=module, progress=False)
    assert [m.training for m in module.modules()] == [True, True, False, True]
    assert equal(before, module)


# -- misuse --------------------------------------------------------------------------------------


def refused(pattern: str, action: Callable[[], Any], error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=pattern) as caught:
        action()
    assert "\n" not in str(caught.value)


def test_sizes_and_terms_are_checked_when_the_loss_is_built() -> None:
    refused("samples=len", lambda: wcord.GCKTLoss(D_T, D_S))
    refused("teacher_dim must be an integer of at least 1", lambda: wcord.LCKTLoss(0, D_S))
    refused("student_dim", lambda: wcord.LCKTLoss(3, 2.5))  # type: ignore[arg-type]
    refused("samples must be", lambda: wcord.GCKTLoss(D_T, D_S, -3))
    refused("did you mean 'temperature'", lambda: wcord.GCKTLoss(D_T, D_S, N, temperatur=1))
    refused("did you mean 'gckt'", lambda: wcord.FeatureLoss(D_T, D_S, {"gcktt": 1}))
    refused("compares logits", lambda: wcord.FeatureLoss(D_T, D_S, {"kd": 1}))
    refused("feature maps", lambda: wcord.FeatureLoss(D_T, D_S, {"at": 1}))
    refused("does not compare features", lambda: wcord.FeatureLoss(D_T, D_S, {"ce": 1}))
    refused("a table", lambda: wcord.FeatureLoss(D_T, D_S, {}))
    refused("weight", lambda: wcord.WCoRDLoss(D_T, D_S, N, gckt=-1.0))
    wrong = GCKTSettings()
    refused("LCKTSettings, not GCKTSettings", lambda: wcord.LCKTLoss(D_T, D_S, settings=wrong))


def test_without_prime_a_call_is_refused() -> None:
    loss = wcord.WCoRDLoss(D_T, D_S, N)
    call = step_of(loss)
    refused("not primed", call, losses.LossError)


def step_of(loss: losses.FeatureLoss, **changes: Any) -> Callable[[], Tensor]:
    given: dict[str, Any] = {
        "teacher": numbers(4, D_T),
        "student": numbers(4, D_S).requires_grad_(),
        "index": torch.arange(4),
    }
    return lambda: loss(**given | changes)


def test_index_and_features_are_checked_in_every_step() -> None:
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), Small())
    cases: list[tuple[str, dict[str, Any]]] = [
        ("needs index=", {"index": None}),
        ("is not in 0 ... 59", {"index": torch.tensor([0, 1, 2, N])}),
        ("is not in 0 ... 59", {"index": torch.tensor([0, 1, 2, -1])}),
        ("sample 1 is twice", {"index": [0, 1, 2, 1]}),
        ("3 entries for 4 samples", {"index": torch.arange(3)}),
        ("index must be integers", {"index": torch.rand(4)}),
        ("index must be integers", {"index": torch.ones(4, dtype=torch.bool)}),
        ("index must be integers", {"index": torch.zeros(4, 1, dtype=torch.long)}),
        (r"must be of shape \(n, 10\), not \(4, 9\)", {"teacher": numbers(4, 9)}),
        ("order", {"teacher": numbers(4, D_S), "student": numbers(4, D_T)}),
        ("average maps", {"student": numbers(4, D_S, 2, 2)}),
        ("3 teacher features", {"teacher": numbers(3, D_T)}),
        ("floating-point", {"teacher": torch.zeros(4, D_T, dtype=torch.long)}),
        ("not list", {"student": [[0.0] * D_S] * 4}),
        ("student features are NaN", {"student": numbers(4, D_S) * torch.nan}),
        ("on cpu, but the student features are on meta", {"student": numbers(4, D_S).to("meta")}),
        (
            "order",
            {"teacher": numbers(4, D_T).requires_grad_(), "student": numbers(4, D_S)},
        ),
        (
            "two samples",
            {"teacher": numbers(1, D_T), "student": numbers(1, D_S), "index": [0]},
        ),
    ]
    for pattern, changes in cases:
        refused(pattern, step_of(loss, **changes))
    assert loss.steps == 0
    refused("bfloat16: keep it in float32", step_of(copy.deepcopy(loss).bfloat16()))
    refused("float16", lambda: copy.deepcopy(loss).half().prime(teacher=1, student=1))


def test_labels_of_another_sample_are_found() -> None:
    loss = primed(wcord.CRDLoss(D_T, D_S, N), Small())
    step_of(loss, labels=torch.arange(4) % CLASSES)()
    refused("4 of 4 labels differ", step_of(loss, labels=(torch.arange(4) + 1) % CLASSES))
    refused("3 labels for 4", step_of(loss, labels=[0, 1, 2]))
    refused("labels must be integers.*not a list of str", step_of(loss, labels=["cat"] * 4))


def test_what_prime_gets_is_checked() -> None:
    x, teacher, labels = inputs()
    student = Small()
    take = wcord.features(student)
    h = take(x).detach()
    loss = wcord.WCoRDLoss(D_T, D_S, N)

    def prime(loader: Any = None, **changes: Any) -> Callable[[], None]:
        given = {"teacher": teacher, "student": h, "progress": False} | changes
        return lambda: loss.prime(loader, **given)

    dataset = TensorDataset(x, labels)
    indexed = wcord.Indexed(dataset)
    constant, broken = torch.ones(N, D_T), teacher.clone()
    broken[17, 3] = torch.nan
    twice = WeightedRandomSampler([1.0] * N, N)
    cases: list[tuple[str, Callable[[], None]]] = [
        ("wcord.Indexed", prime(DataLoader(dataset, 10), student=take)),
        ("needs a loader", prime(student=take)),
        (
            "met 54 of 60",
            prime(DataLoader(indexed, 9, drop_last=True), student=take),
        ),
        ("twice", prime(DataLoader(indexed, 9, sampler=twice), student=take)),
        ("twice", prime([(torch.arange(10), x[i : i + 10]) for i in (0, 10)], student=take)),
        ("index 60", prime([(torch.arange(51, 61), x[:10])], student=take)),
        ("no batch", prime([], student=take)),
        ("59 samples, but samples is 60", prime(teacher=teacher[:-1])),
        (r"shape \(samples, 10\), not \(60, 6\)", prime(teacher=h)),
        ("the same for all samples", prime(teacher=constant)),
        ("NaN or infinite for 1 samples, the first is number 17", prime(teacher=broken)),
        (
            r"not of shape \(10, 8, 1\)",
            prime(DataLoader(indexed, 10), student=lambda b: b[..., None]),
        ),
        ("not dict", prime(DataLoader(indexed, 10), student=lambda b: {})),
        ("a function, a module or an array", prime(teacher="resnet18")),
    ]
    for pattern, action in cases:
        refused(pattern, action)
        assert not loss.primed
    crd = wcord.CRDLoss(D_T, D_S, N, classes=CLASSES)
    refused("need the class of every sample", lambda: crd.prime(teacher=teacher, student=h))
    for pattern, wrong in (
        ("a label is -1", labels - 1),
        ("a label is 3, but there are 3 classes", labels + 1),
        ("must be integers", labels.float()),
        ("59 labels for 60", labels[:-1]),
    ):
        refused(pattern, lambda wrong=wrong: crd.prime(teacher=teacher, student=h, labels=wrong))
    refused("two classes", lambda: crd.prime(teacher=teacher, student=h, labels=labels * 0))


def test_an_index_within_the_batch_is_reported_in_the_second_step() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    train(loss, student, 0, indices=iter([torch.arange(N_BATCH)]))
    with pytest.warns(losses.LossWarning, match="before 48 of 60 samples were seen") as found:
        train(loss, student, 0, indices=iter([torch.arange(N_BATCH)] * 9))
    assert len(found) == 1 and found[0].filename == __file__


def test_samples_that_an_epoch_leaves_out_are_reported_once_with_their_number() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    epochs = [part for _ in range(4) for part in torch.randperm(36).split(N_BATCH)]
    with pytest.warns(losses.LossWarning, match="24 of 60 samples") as found:
        train(loss, student, 0, indices=iter(epochs))
    assert len(found) == 1


def test_an_epoch_that_was_begun_before_a_checkpoint_is_not_counted() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    train(loss, student, 3)
    loss.load_state_dict(loss.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(loss, student, 0, indices=iter([*list(batches(5))[3:], *batches(10)]))


@pytest.mark.parametrize("n", [12, 13])  # 13: eight samples of each epoch are left out
def test_a_right_index_gives_no_warning(n: int) -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    whole = (part for part in batches(40, n) if len(part) == n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(loss, student, 0, indices=whole)


def test_parameters_that_no_optimizer_changes_are_found() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    alone = torch.optim.SGD(student.parameters(), lr=0.05)
    with pytest.raises(losses.LossError, match=r"gckt.critic.project_teacher.*loss.parameters\(\)"):
        train(loss, student, PATIENCE + 5, alone)
    assert loss.steps == PATIENCE
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    forgotten = [*student.parameters(), *list(loss.parameters())[:1]]
    with pytest.raises(losses.LossError, match="project_student"):
        train(loss, student, PATIENCE + 5, torch.optim.SGD(forgotten, lr=0.05))


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_every_optimizer_is_seen(kind: Any, options: dict[str, bool]) -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    parameters = [*student.parameters(), *loss.parameters()]
    train(loss, student, PATIENCE + 5, kind(parameters, lr=1e-3, **options))


def test_two_optimizers_and_frozen_parameters_are_right() -> None:
    student = Small()
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student).requires_grad_(False)
    train(loss, student, PATIENCE + 5, torch.optim.SGD(student.parameters(), lr=0.05))
    loss = primed(wcord.WCoRDLoss(D_T, D_S, N), student)
    own = torch.optim.Adam(loss.parameters(), lr=1e-3)

    class Both(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step()
            own.step()

    train(loss, student, PATIENCE + 5, Both(student.parameters(), lr=0.05))


def test_projections_of_lckt_are_only_trained_where_they_are_used() -> None:
    shared = wcord.WCoRDLoss(D_T, D_S, N)
    assert not any(p.requires_grad for p in shared.objective.terms["lckt"].parameters())
    own = wcord.WCoRDLoss(D_T, D_S, N, lckt={"share": False})
    assert all(p.requires_grad for p in own.objective.terms["lckt"].parameters())
    student = Small()
    train(primed(own, student), student, PATIENCE + 3)
