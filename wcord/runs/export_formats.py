"""The three kinds of file that hold a trained student, as bytes: .pt2, .onnx, .safetensors."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from wcord.errors import first_line
from wcord.models.logits import logits_of
from wcord.runs.checkpoints import without_shared_memory
from wcord.settings.messages import SettingsError

SUFFIXES = (".pt2", ".onnx", ".safetensors")
CARD = "wcord_card"  # key of the card in the metadata of .onnx and .safetensors files
CARD_FILE = "wcord_card.json"  # name of the card in the extra files of .pt2 files
MEAN, STD = "normalise.mean", "normalise.std"  # names of the tensors in .safetensors files
COMPARED = (1, 3)  # sizes of the batches on which a traced student is compared with its module


class ImagesToLogits(nn.Module):
    """A student with its normalisation inside: logits of (x - mean) / std.

    Args:
        student: normalised images (n, C, H, W), or inputs (n, C, ...) of any shape, to logits
            (n, classes).
        mean, std: (C,), of images in [0, 1], or of the inputs.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.student = student
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) of float32 images (n, C, H, W) in [0, 1], or of inputs."""
        sizes = (-1, *[1] * (images.ndim - 2))  # C in the second axis
        normalised = (images - self.mean.view(sizes)) / self.std.view(sizes)
        kind = type(self.student).__name__
        return logits_of(self.student(normalised), images.shape[0], kind)


def format_of(path: Path) -> str:
    """Return the suffix of a file, which chooses its format.

    Raises:
        ValueError: it is none of the three.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SettingsError(f"{path.name}: a student is stored as {', '.join(SUFFIXES)}; use one")
    return suffix


def file_content(
    suffix: str, model: ImagesToLogits, shape: tuple[int, ...], card: dict[str, Any]
) -> bytes:
    """Return the content of a file with a student and its card.

    Args:
        suffix: one of `SUFFIXES`.
        model: on the CPU; not changed.
        shape: of one image or input.
        card: of JSON's types.

    Raises:
        ValueError: a package is missing, or the model cannot be stored in this format.
    """
    text = json.dumps(card, indent=1)
    if suffix == ".safetensors":
        return _weights(model, text)
    if suffix == ".onnx":
        require_onnx()
    program = _traced(model, shape)
    if suffix == ".onnx":
        return _onnx(program, text)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={CARD_FILE: text})
    return content.getvalue()


def require_onnx() -> None:
    """Raise ValueError if a package that .onnx needs is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"a .onnx file needs the package {error.name}: pip install 'wcord[export]'"
        ) from error


def _weights(model: ImagesToLogits, card: str) -> bytes:
    state = model.student.state_dict()
    if others := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise SettingsError(f"{others[0]} is no tensor, so .safetensors cannot hold it: use .pt2")
    if used := {MEAN, STD} & state.keys():
        raise SettingsError(f"the student has a tensor {min(used)} of its own: use .pt2 or .onnx")
    tensors = state | {MEAN: model.mean, STD: model.std}
    return save(without_shared_memory(tensors), {CARD: card})


def _traced(model: ImagesToLogits, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """Return the graph of a model for batches of any size, compared with the model itself."""
    kind = type(model.student).__name__
    draw = torch.Generator().manual_seed(0)
    batch = torch.export.Dim("n", min=1)
    try:
        with _without_messages(), torch.inference_mode(False), torch.no_grad():
            images = torch.rand((2, *shape), generator=draw, dtype=torch.float32)
            program = torch.export.export(model, (images,), dynamic_shapes={"images": {0: batch}})
            traced = program.module()
            pairs = []
            for count in COMPARED:
                images = torch.rand((count, *shape), generator=draw, dtype=torch.float32)
                pairs.append((traced(images), model(images)))
    except Exception as error:  # tracing may raise any error
        raise SettingsError(
            f"torch.export cannot trace {kind}: {first_line(error):.300}; a .safetensors file "
            "holds its weights without its code"
        ) from error
    if not all(torch.allclose(*pair, rtol=1e-4, atol=1e-5, equal_nan=True) for pair in pairs):
        raise SettingsError(
            f"the traced {kind} gives other logits than {kind} itself: its forward pass depends on "
            "values that a trace fixes, or draws random numbers; a .safetensors file holds its "
            "weights without its code"
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, which no reader needs
    return program


@contextmanager
def _without_messages() -> Iterator[None]:
    """Discard the warnings and the log of torch's tracer; its error is reported in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _onnx(program: torch.export.ExportedProgram, card: str) -> bytes:
    try:
        with _without_messages():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes={"images": {0: "n"}},
            )
        assert converted is not None
        model = converted.model_proto
        model.metadata_props.add(key=CARD, value=card)
        return model.SerializeToString()
    except Exception as error:  # a converter may raise any error
        raise SettingsError(
            f"the student cannot be stored as .onnx: {first_line(error):.300}; use .pt2"
        ) from error


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of an exported student, from any of the three kinds of file.

    Raises:
        ValueError: the file cannot be read or has no card, or a package is missing.
    """
    readers: dict[str, Callable[[Path], str | bytes]] = {
        ".pt2": _card_of_pt2,
        ".onnx": _card_of_onnx,
        ".safetensors": _card_of_safetensors,
    }
    suffix = format_of(path)
    try:
        card = json.loads(readers[suffix](path))
    except ImportError as error:
        raise SettingsError(
            f"reading {path.name} needs the package {error.name}: pip install 'wcord[export]'"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged file may raise any error
        raise SettingsError(
            f"{path} holds no card of a student, or is damaged: {first_line(error):.200}"
        ) from error
    if not isinstance(card, dict):
        raise SettingsError(f"{path} holds no card of a student: it is no table")
    return card


def _card_of_pt2(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(CARD_FILE))
        return archive.read(name)


def _card_of_onnx(path: Path) -> str:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}[CARD]


def _card_of_safetensors(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata()[CARD]
