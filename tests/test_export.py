"""Exported students: they give the answers of the run, carry their card, and need no wcord."""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import wcord
from wcord.cli import main
from wcord.models import build
from wcord.runs import checkpoints
from wcord.runs.export_formats import SUFFIXES, ImagesToLogits, file_content, read_card
from wcord.runs.storage import StorageError
from wcord.training.inputs import NetworkInput, read_data
from wcord.training.loop import Training
from wcord.views import View

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs/take-the-student-away.md").read_text("utf-8")

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MODELS = sorted({wcord.load(name).student.model for name in wcord.presets()})
SIMILAR = {"wrn-40-1", "resnet20", "resnet32", "shufflenetv1"}  # another of their class is tested


def answers(file: Path, images: Tensor, module: nn.Module | None = None) -> Tensor:
    """Return the logits that a file gives, read as the documentation says."""
    if file.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(file).module()(images)
    if file.suffix == ".onnx":
        session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    tensors = load_file(file)
    mean, std = tensors.pop("normalise.mean"), tensors.pop("normalise.std")
    assert module is not None
    module.load_state_dict(tensors)
    with torch.no_grad():
        return module.eval()((images - mean[:, None, None]) / std[:, None, None])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in SIMILAR])
def test_files_of_every_student_give_its_logits(name: str, tmp_path: Path) -> None:
    """Of one image, two and seven, for networks whose statistics and weights have moved."""
    channels, side = (1, 8) if name.startswith("digits") else (3, 32)
    shape = (channels, side, side)
    draw = torch.Generator().manual_seed(5)
    student = build(name, channels, (side, side), 10, 3)
    for _ in range(3):
        student(torch.randn((16, *shape), generator=draw))  # moves the running statistics
    mean, std = torch.rand(channels) * 0.5, torch.rand(channels) * 0.3 + 0.1
    model = ImagesToLogits(student.eval(), mean, std)
    images = torch.rand((7, *shape), generator=draw)
    with torch.no_grad():
        expected = student((images - mean[:, None, None]) / std[:, None, None])
    size = expected.abs().max().clamp_min(1)
    for suffix, tolerance in zip(SUFFIXES, (1e-6, 1e-5, 1e-6), strict=True):
        file = tmp_path / f"student{suffix}"
        file.write_bytes(file_content(suffix, model, shape, {"card_version": 1}))
        for count in (1, 2, 7):
            got = answers(file, images[:count], build(name, channels, (side, side), 10))
            assert got.shape == (count, 10)
            assert (got - expected[:count]).abs().max() <= tolerance * size, (suffix, count)


@pytest.fixture(scope="module")
def files(finished: wcord.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {s: finished.export("kd", folder / f"student{s}") for s in SUFFIXES}


@pytest.fixture(scope="module")
def test_part(finished: wcord.Run) -> tuple[Tensor, Tensor, NetworkInput, Any]:
    """Test images in [0, 1], their labels, the student's input, and the samples."""
    data = read_data(finished.settings)
    images = data.test.images.float() / 255
    student_input = NetworkInput(finished.settings.student, data, finished.settings.seed)
    return images, data.test.labels, student_input, data.test


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_accuracy_of_a_file_is_that_of_the_run(
    suffix: str, finished: wcord.Run, files: dict[str, Path], test_part: Any
) -> None:
    images, labels, student_input, samples = test_part
    student = finished.student("kd")
    with torch.no_grad():
        expected = student(student_input.all_images(samples))  # normalised by the run
    got = answers(files[suffix], images, build("digits-student", 1, (8, 8), 10))
    scale = expected.abs().max()
    assert (got - expected).abs().max() <= (1e-5 if suffix == ".onnx" else 1e-6) * scale
    assert finished.summary is not None
    accuracy = 100 * (got.argmax(1) == labels).double().mean().item()
    assert accuracy == finished.summary["arms"]["kd"]["test_accuracy"]


@pytest.mark.parametrize(
    ("view", "normalise"),
    [
        ([{"downsample": {"factor": 2}}, {"noise": {"sigma": 0.3}}], "measured"),
        (["right"], {"mean": 0.5, "std": 0.25}),
        (["edges"], "none"),
    ],
)
def test_images_of_a_file_are_those_of_the_view(
    view: list[Any], normalise: Any, short: wcord.Experiment, tmp_path: Path
) -> None:
    changes = {"student.view": view, "student.normalise": normalise, "arms": {"kd": {"kd": 1}}}
    run = wcord.distill(short.replace(changes), tmp_path / "run", False)
    file = run.export("kd", tmp_path / "s.pt2")
    data, seed = read_data(run.settings), run.settings.seed
    view_seed = NetworkInput(run.settings.student, data, seed).seed
    images = View.parse(view)(data.test, view_seed)
    assert read_card(file)["input"]["shape"] == ["n", *images.shape[1:]]
    accuracy = 100 * (answers(file, images).argmax(1) == data.test.labels).double().mean().item()
    assert run.summary is not None
    assert accuracy == run.summary["arms"]["kd"]["test_accuracy"]


def test_the_card(finished: wcord.Run, files: dict[str, Path]) -> None:
    cards = [read_card(file) for file in files.values()]
    for card in cards:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", card.pop("date"))
    card = cards[0]
    assert cards == [card] * 3
    summary, data = finished.summary, finished.data
    assert summary is not None and data is not None
    assert card["card_version"] == 1 and card["arm"] == "kd"
    assert card["results"]["arm"] == summary["arms"]["kd"]
    assert card["results"]["teacher"] == summary["teacher"]
    conditions = card["results"]["conditions"]
    assert (conditions["seed"], conditions["epoch"], conditions["epochs"]) == (0, 3, 3)
    assert card["run"]["finished"] and card["run"]["state"] == "finished"
    assert card["classes"] == list("0123456789") and card["data"]["name"] == "digits"
    assert card["data"]["fingerprint"] == data["fingerprint"]
    assert card["settings"] == finished.settings.plain()
    assert card["network"]["class"] == "wcord.models.small.SmallNet"
    same: Any = eval(card["network"]["source"], {"wcord": wcord})
    assert type(same).__name__ == "SmallNet" and card["network"]["parameters"] == 1046
    measured = read_data(finished.settings).train.images.double() / 255
    assert card["input"]["mean"] == pytest.approx([measured.mean().item()], rel=1e-6)
    assert card["input"]["std"] == pytest.approx([measured.std(correction=0).item()], rel=1e-6)
    assert card["input"]["shape"] == ["n", 1, 8, 8] and card["input"]["view"] == ["identity"]
    assert card["versions"]["torch"] == torch.__version__


def test_files_hold_no_path_of_this_machine(files: dict[str, Path]) -> None:
    for file in files.values():
        content = file.read_bytes()
        for path in (ROOT, torch.__path__[0], Path.home()):
            assert len(str(path)) < 4 or str(path).encode() not in content


WITHOUT_WCORD = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("wcord", "lab"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def blocks(language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


@pytest.mark.slow
def test_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks()):
        exec(compile(block, f"block {number}", "exec"), names)
    for logits in (names["logits_of_onnx"], names["logits_of_weights"].numpy()):
        np.testing.assert_allclose(logits, names["logits"].detach().numpy(), atol=1e-5)
    assert names["card"]["arm"] == "wcord"
    assert {file.name for file in tmp_path.glob("*.*")} >= {"student.pt2", "mine.pt2", "mine.onnx"}
    assert (read_card(tmp_path / "mine.onnx"))["network"]["source"] == "a module of the caller"


@pytest.mark.slow
def test_files_are_used_without_wcord(files: dict[str, Path]) -> None:
    """In a process that cannot import it: pt2, onnx, and the card of each by the shown function."""
    reading = next(block for block in blocks() if "def read_card" in block).split("\ncard =")[0]
    script = f"""{WITHOUT_WCORD}{reading}
import numpy, onnxruntime, torch
images = torch.rand(7, 1, 8, 8)
with torch.no_grad():
    one = torch.export.load({str(files[".pt2"])!r}).module()(images).numpy()
session = onnxruntime.InferenceSession({str(files[".onnx"])!r})
two = session.run(["logits"], {{"images": images.numpy()}})[0]
numpy.testing.assert_allclose(one, two, atol=1e-5)
for file in {[str(file) for file in files.values()]!r}:
    print(read_card(file)["results"]["arm"]["test_accuracy"])
assert not [name for name in sys.modules if name.startswith("wcord")]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    expected = read_card(files[".pt2"])["results"]["arm"]["test_accuracy"]
    assert [float(line) for line in done.stdout.split()] == [expected] * 3


def test_the_commands(
    finished: wcord.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.safetensors"
    assert main(["export", str(finished.path), "kd", str(file)]) == 0
    assert file.name in capsys.readouterr().out
    assert main(["card", str(file)]) == 0
    assert json.loads(capsys.readouterr().out) == read_card(file)
    assert main(["export", str(finished.path), "kd", str(file)]) == 2
    assert main(["export", str(finished.path), "kd", str(file), "--overwrite"]) == 0


# --- bad input ------------------------------------------------------------------------------


def wrong(run: wcord.Run, message: str, arm: str, file: Any, **options: Any) -> None:
    """Expect one line with this message, and that nothing is written."""
    before = sorted(Path(file).parent.glob("*")) if Path(file).parent.is_dir() else []
    with pytest.raises(ValueError, match=message) as caught:
        run.export(arm, file, **options)
    assert "\n" not in str(caught.value)
    after = sorted(Path(file).parent.glob("*")) if Path(file).parent.is_dir() else []
    assert before == after


def test_what_cannot_be_written_is_refused(finished: wcord.Run, tmp_path: Path) -> None:
    wrong(finished, r"\.pt2, \.onnx, \.safetensors", "kd", tmp_path / "student.pth")
    wrong(finished, r"\.pt2, \.onnx, \.safetensors", "kd", tmp_path / "student")
    wrong(finished, "did you mean 'wcord'", "wcordd", tmp_path / "s.pt2")
    wrong(finished, "does not exist", "kd", tmp_path / "absent" / "s.pt2")
    (tmp_path / "s.pt2").write_text("mine")
    wrong(finished, "exists: choose another name", "kd", tmp_path / "s.pt2")
    assert (tmp_path / "s.pt2").read_text() == "mine"
    (tmp_path / "d.pt2").mkdir()
    wrong(finished, "is a folder", "kd", tmp_path / "d.pt2", overwrite=True)
    (tmp_path / "gone.pt2").symlink_to(tmp_path / "nowhere")
    wrong(finished, "exists", "kd", tmp_path / "gone.pt2")
    wrong(finished, "torch.nn.Module is needed, not str", "kd", tmp_path / "t.pt2", module="net")


def test_a_folder_without_permission(
    finished: wcord.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wcord.runs.export.os.access", lambda path, mode: False)
    wrong(finished, "no permission to write in", "kd", tmp_path / "s.pt2")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package(
    package: str, finished: wcord.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"needs the package {package}: pip install 'wcord\[export\]'"
    wrong(finished, message, "kd", tmp_path / "s.onnx")
    finished.export("kd", tmp_path / "s.pt2")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_file_appears_whole_or_not_at_all(
    suffix: str,
    code: int,
    finished: wcord.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*paths: Any) -> None:
        raise OSError(code, os.strerror(code))

    file = tmp_path / f"s{suffix}"
    file.write_text("earlier")
    monkeypatch.setattr("wcord.runs.storage.os.replace", fail)
    with pytest.raises(StorageError, match=r"disk is full|Permission denied") as caught:
        finished.export("kd", file, overwrite=True)
    assert "resume" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "earlier"


def copy_of(run: wcord.Run, folder: Path) -> wcord.Run:
    import shutil

    shutil.copytree(run.path, folder)
    return wcord.Run(folder)


def test_runs_that_hold_no_usable_student(finished: wcord.Run, tmp_path: Path) -> None:
    run, target = copy_of(finished, tmp_path / "run"), tmp_path / "s.safetensors"
    folder = run.path / "checkpoints"
    newest = folder / f"{checkpoints.steps(folder)[-1]}.safetensors"
    content = newest.read_bytes()
    for damaged in (content[:-1], content[:50], b"", content[:-9] + b"x" + content[-8:]):
        newest.write_bytes(damaged)
        wrong(run, "is damaged|does not hold what was written", "kd", target)
    for file in folder.iterdir():
        file.unlink()
    wrong(run, "has no checkpoint", "kd", target)
    settings = run.path / "settings.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("schema_version: 1", "schema_version: 99"))
    wrong(run, "schema version 99, newer than", "kd", target)


@pytest.mark.parametrize("file", ["a.pt2", "a.onnx", "a.safetensors"])
def test_cards_that_cannot_be_read(file: str, files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / file
    with pytest.raises(ValueError, match="cannot be read"):
        read_card(path)
    content = files[path.suffix].read_bytes()
    for damaged in (b"", b"text", content[:300]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="holds no card") as caught:
            read_card(path)
        assert "\n" not in str(caught.value)


def test_the_command_line_prints_one_line(
    finished: wcord.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["export", str(finished.path), "kdd", str(tmp_path / "s.pt2")],
        ["export", str(finished.path), "kd", str(tmp_path / "s.pth")],
        ["card", str(tmp_path / "absent.pt2")],
        ["card", str(tmp_path / "absent.txt")],
    ):
        assert main(words) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


# --- runs without results, and older ones -------------------------------------------------


def test_an_unfinished_run_says_so(
    short: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = Training.wait_for_permission
    monkeypatch.setattr(Training, "wait_for_permission", lambda self: wait(self) and self.step < 15)
    run = wcord.distill(short.replace({"probe.every": 1}), tmp_path / "run", progress=False)
    assert run.status.state == "stopped"
    card = read_card(run.export("kd", tmp_path / "s.safetensors"))
    assert card["run"]["state"] == "stopped" and not card["run"]["finished"]
    assert (card["run"]["step"], card["run"]["steps"]) == (15, 33)
    metrics = run.metrics().query("arm == 'kd' and name == 'test_accuracy'")
    newest = metrics.iloc[-1]
    results = card["results"]
    assert results["arm"]["test_accuracy"] == newest.value
    assert results["conditions"]["step"] == newest.step == 11
    assert results["teacher"]["test_accuracy"] > 90


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_of_an_older_version_measures_its_data_again(
    changed: bool, finished: wcord.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints hold no mean and std."""
    run = copy_of(finished, tmp_path / "run")
    settings = checkpoints.digest_of((run.path / "settings.yaml").read_text("utf-8"))
    folder = run.path / "checkpoints"
    step = checkpoints.steps(folder)[-1]
    tensors, header = checkpoints.read(folder, step, settings)
    stored = header["built"].pop("mean"), header["built"].pop("std")
    checkpoints.write(folder, step, tensors, header)
    if changed:
        record = json.loads((run.path / "data.json").read_text())
        record["inputs"]["training images"] = "another"
        (run.path / "data.json").write_text(json.dumps(record))
        wrong(run, "the data have changed since", "kd", tmp_path / "s.safetensors")
        return
    tensors = load_file(run.export("kd", tmp_path / "s.safetensors"))
    assert (tensors["normalise.mean"].tolist(), tensors["normalise.std"].tolist()) == stored


# --- a student of the caller ------------------------------------------------------------------


class Own(nn.Module):
    """Returns a dict, has hooks, a frozen layer, tied weights and a parametrization."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.one = parametrizations.weight_norm(nn.Linear(6, 6))
        self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.two.bias = self.one.bias
        self.conv.bias.requires_grad_(False)  # type: ignore[union-attr]
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.head.register_forward_hook(doubled)

    def forward(self, x: Tensor) -> Any:
        h = self.norm(self.conv(x)).relu().mean((2, 3))
        return {"aux": h, "logits": self.head(self.two(self.one(h).relu())) * self.scale}


def doubled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * 2


def everything(module: nn.Module) -> list[Any]:
    """Return all that training could change in a module, in a form that can be compared."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found: list[Any] = []
    for name, layer in module.named_modules():
        found.append((name, id(layer), type(layer), layer.training, sorted(vars(layer))))
        found += [(kind, list(getattr(layer, kind).items())) for kind in hooks]
        for key, value in {**layer._parameters, **layer._buffers}.items():
            if value is not None:
                state = (id(value), value.requires_grad, value.device, value.dtype, value._version)
                grad = None if value.grad is None else value.grad.tolist()
                found.append((key, state, value.tolist(), grad))
    return found


@pytest.fixture(scope="module")
def own_data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    images = rng.integers(0, 90, (90, 8, 8)) + 80 * labels[:, None, None]
    return {"images_train": images.astype(np.uint8), "labels_train": labels}


OWN: dict[str, Any] = {"epochs": 2, "batch": 16, "data.labels_per_class": None,
                       "arms": {"plain": {"ce": 1}, "kd": {"ce": 1, "kd": 1}}}  # fmt: skip


@pytest.fixture(scope="module")
def own(own_data: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[wcord.Run, Own]:
    torch.manual_seed(0)
    module = Own()
    before = everything(module)
    experiment = wcord.load("digits-compression").replace(OWN | {"teacher.epochs": 2})
    path = tmp_path_factory.mktemp("own") / "run"
    run = wcord.distill(experiment, path, False, student=module, data=own_data)
    assert everything(module) == before
    return run, module


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_student_of_the_caller(suffix: str, own: tuple[wcord.Run, Own], tmp_path: Path) -> None:
    run, module = own
    before = everything(module)
    file = run.export("kd", tmp_path / f"s{suffix}")
    again = wcord.Run(run.path).export("kd", tmp_path / f"t{suffix}", module=module)
    wrong(
        wcord.Run(run.path), r"run\.export\('kd', file, module=\.\.\.\)", "kd", tmp_path / "u.pt2"
    )
    images = torch.rand(7, 1, 8, 8)
    card = read_card(file)
    assert card["classes"] == ["0", "1", "2"] and card["network"]["model"] is None
    assert card["network"]["class"].endswith("test_export.Own") and card["data"]["own"]
    mean, std = (torch.tensor(card["input"][name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        expected = run.student("kd")((images - mean) / std)["logits"]
        first = module.eval()((images - mean) / std)["logits"]
    module.train()
    assert not torch.allclose(expected, first)
    if suffix == ".safetensors":
        empty = Own()
        assert load_file(file).keys() == load_file(again).keys()
        tensors = {k: v for k, v in load_file(again).items() if not k.startswith("normalise.")}
        empty.load_state_dict(tensors)
        with torch.no_grad():
            got = empty.eval()((images - mean) / std)["logits"]
        torch.testing.assert_close(got, expected)
    else:
        for one in (file, again):
            for count in (1, 2, 7):
                torch.testing.assert_close(
                    answers(one, images[:count]), expected[:count], rtol=1e-5, atol=1e-5
                )
    assert everything(module) == before


def test_modules_that_are_not_the_student_are_refused(
    own: tuple[wcord.Run, Own], finished: wcord.Run
) -> None:
    path, module = own[0].path, copy.deepcopy(own[1])
    run = wcord.Run(path)
    module.head = nn.Linear(6, 4)
    for other, message in [
        (nn.Linear(3, 3), "missing keys: weight, bias; unexpected keys: .* more"),
        (module, r"other shapes: head.weight is \(3, 6\) in the file and \(4, 6\) in the network"),
        (Own().to("meta"), "Own is on the meta device"),
        (nn.LazyLinear(3), "lazy layers"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            run.student("kd", module=other)
        assert "\n" not in str(caught.value)
    fresh = build("digits-student", 1, (8, 8), 10, 99)  # a module may also be given needlessly
    assert_same(finished.student("kd", module=fresh), finished.student("kd"))


def assert_same(one: nn.Module, two: nn.Module) -> None:
    first, second = one.state_dict(), two.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def hooks_of(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_a_student_is_the_same_whoever_reads_it(
    short: wcord.Experiment, own: tuple[wcord.Run, Own], tmp_path: Path
) -> None:
    trained = wcord.distill(short, tmp_path / "run", progress=False)
    mine = own[1]
    pairs = [
        (trained, wcord.Run(trained.path), {}, build("digits-student", 1, (8, 8), 10)),
        (own[0], wcord.Run(own[0].path), {"module": mine}, mine),
    ]
    for memory, disk, options, fresh in pairs:
        one, two = memory.student("kd"), disk.student("kd", **options)
        assert one is not memory.student("kd") and one is not two
        assert_same(one, two)
        for student in (one, two):
            assert type(student) is type(fresh)
            assert hooks_of(student) == hooks_of(fresh)
            assert not any(layer.training for layer in student.modules())
            gradients = [(n, p.requires_grad) for n, p in student.named_parameters()]
            assert gradients == [(n, p.requires_grad) for n, p in fresh.named_parameters()]
            for value in student.state_dict().values():
                assert value.device.type == "cpu" and value.dtype in (torch.float32, torch.int64)
        with torch.no_grad():  # a change of one copy does not reach another
            next(one.parameters()).zero_()
        assert_same(memory.student("kd"), two)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x.flatten(1))
        return y * 2 if y.mean() > 0 else y


class Fixed(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.reshape(x.shape[0], -1)) * (2.0 if len(x) > 1 else 1.0)


class Drawing(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1)) + torch.rand(3)


@pytest.mark.parametrize("kind", [Branching, Fixed, Drawing])
def test_modules_that_cannot_be_traced(
    kind: type[nn.Module], own_data: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    experiment = wcord.load("digits-compression").replace(OWN | {"teacher.epochs": 2, "epochs": 1})
    run = wcord.distill(experiment, tmp_path / "run", False, student=kind(), data=own_data)
    capfd.readouterr()
    for suffix in (".pt2", ".onnx"):
        message = f"cannot trace {kind.__name__}: |traced {kind.__name__} gives other logits"
        wrong(run, message, "kd", tmp_path / f"s{suffix}")
    assert capfd.readouterr().err == ""
    run.export("kd", tmp_path / "s.safetensors")


# --- modules of the caller are not changed -----------------------------------------------------


@pytest.mark.parametrize("mode", [True, False])
def test_distill_changes_no_module_of_the_caller(
    mode: bool, own_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a run that finishes nor in one that fails at any place."""
    torch.manual_seed(1)
    student, teacher = Own().train(mode), Own().train(mode)
    teacher.norm.train(not mode)
    student(torch.rand(2, 1, 8, 8))["logits"].sum().backward()  # has gradients
    modules = {"student": student, "teacher": teacher}
    before = [everything(module) for module in modules.values()]
    experiment = wcord.load("digits-compression").replace(OWN)

    def same() -> None:
        assert [everything(module) for module in modules.values()] == before

    with pytest.warns():  # the teacher is near chance
        wcord.distill(experiment, tmp_path / "run", False, data=own_data, **modules)
    same()
    places = ["Training.run", "Training.log_due", "Training.write_checkpoint", "Training._stepper"]
    for number, place in enumerate(places):
        with monkeypatch.context() as patch:
            patch.setattr(f"wcord.training.loop.{place}", fail)
            with pytest.warns(), pytest.raises(RuntimeError, match="on purpose"):
                wcord.distill(
                    experiment, tmp_path / f"{number}", False, data=own_data, **modules
                )  # fmt: skip
        same()
    for changes in ({"arms": {"at": {"ce": 1, "wkd": 1}}}, {"student.labels": [0, 1]}):
        with pytest.raises(ValueError):
            wcord.distill(experiment.replace(changes), tmp_path / "x", False, data=own_data,
                          **modules)  # fmt: skip
        same()


def fail(*_: Any) -> None:
    raise RuntimeError("on purpose")
