"""A recording: all that the view shows of a run, in one compressed piece of bytes.

    content = packed(run, ["plain", "wcord"], 20)
    parts = unpacked(content)

The bytes are frames (see `frames.py`) compressed with gzip, which a browser expands with
`DecompressionStream`. Where that takes fewer bytes, plans and scores are written as differences
(modulo 256) from the frame before of the same arm; `about` then names them under "differences".
A recording contains complete snapshots only, and no path or name of the machine. Exported pages
contain one, and the tour ships with one for each stop.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wcord.runs import Run, RunReader, Status

from ..reading import sample_images
from ..reading.arrange import spread_evenly
from ..reading.watch import Watch
from . import parts
from .frames import Part, pack, unpack

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

Array = NDArray[Any]

DIFFERENT = ("plan", "scores")  # arrays of u1, which may be written as differences
LARGEST = 2**28  # bytes of a recording when it is expanded
MOST_IMAGE_BYTES = 2_000_000  # of the images of one recording
IMAGE_SIDES = (64, 32)  # pixels: larger images are made smaller
NO_DATA = "the data set was not at hand when this was recorded"
TOO_LARGE = "the images of the data set are too large for a recording"
QUOTED = re.compile(r"(['\"])((?:[A-Za-z]:[\\/]|\\\\|~?/)[^'\"]*)\1")
PATH = re.compile(r"(?<![\w/\\.])(?:[A-Za-z]:\\|\\\\|~?/(?=[^\s/]+/))[^\s'\"<>|,;]+")


def packed(
    run: RunReader | Watch,
    arms: Sequence[str] | None = None,
    steps: int | Sequence[int] | None = None,
    *,
    name: str | None = None,
    images: bool = True,
    more: Sequence[Part] = (),
) -> bytes:
    """Return a recording of a run.

    Args:
        run: it may still be written.
        arms: all where None.
        steps: the steps themselves, or at most how many, evenly spread, the first and the last
            among them; all where None. A step whose snapshot cannot be read is left out, and is
            named in the part "recording".
        name: by which the view knows the recording; the run's own where None.
        images: whether to include what both networks see of the samples.
        more: parts that are added at the end.

    Raises:
        ValueError: no such arm or step, or no snapshot that can be read; in one line.
    """
    watch = Watch(run.run.path if isinstance(run, Watch) else run.path)
    watch.run = _WithoutDownload(watch.run.path)
    name = name or watch.run.name
    status = watch.run.status  # before the steps: a snapshot written after this may be there too
    colours = {arm["name"]: arm["colours"] for arm in _run_part(watch, name).about["arms"]}
    watch.arms = chosen_arms(watch, arms)
    frames, left_out = _frames(watch, name, steps)
    if not frames:
        why = f": {left_out[0][1]}" if left_out else " yet"
        raise ValueError(f"{watch.run.name} has no snapshot that can be shown{why}")
    about = _run_part(watch, name)
    for arm in about.about["arms"]:
        arm["colours"] = colours[arm["name"]]  # those that it has beside all others
    newest = frames[max(frames)][0]
    samples = parts.samples_part(watch, name)
    found = [
        about,
        _status_part(status, name, list(frames), watch.result),
        *([samples] if samples else []),
        *parts.curve_parts(watch, name, {}),
        *(frame for of_step in frames.values() for frame in of_step),
        *(_image_parts(watch, name, len(newest.arrays["plan"])) if images else ()),
        Part("recording", {"run": name, "left_out": left_out}),
        *more,
    ]
    feed = hashlib.sha256("\n".join([name, *watch.arms, *map(str, frames)]).encode())
    about_all = {"feed": feed.hexdigest()[:8], "number": 1, "acknowledged": 0}
    ways = (
        pack(found, **about_all),
        pack(_differences(found), differences=DIFFERENT, **about_all),
    )
    return min((gzip.compress(content, mtime=0) for content in ways), key=len)


def unpacked(content: bytes) -> list[Part]:
    """Return the parts of a recording.

    Raises:
        ValueError: these bytes are no recording, or are damaged; in one line.
    """
    expander = zlib.decompressobj(wbits=31)
    try:
        expanded = expander.decompress(content, LARGEST)
    except zlib.error as error:
        raise ValueError(f"these bytes are no recording: {error}") from None
    if not expander.eof:
        raise ValueError("this recording is incomplete or far too large")
    about, found = unpack(expanded)
    try:
        return _differences(found, undo=True) if about.get("differences") else found
    except (KeyError, ValueError) as error:
        raise ValueError(f"damaged recording: {error}") from None


def _differences(found: Sequence[Part], *, undo: bool = False) -> list[Part]:
    """Return parts whose plans and scores are differences from the frame before of their arm."""
    before: dict[str, Mapping[str, Array]] = {}
    changed = []
    for part in found:
        if part.kind == "frame":
            arm, arrays = part.about["arm"], dict(part.arrays)
            earlier = before.get(arm)
            if earlier is not None and earlier["plan"].shape == arrays["plan"].shape:
                for name in DIFFERENT:
                    change = np.add if undo else np.subtract
                    arrays[name] = change(arrays[name], earlier[name])  # modulo 256
            before[arm] = arrays if undo else part.arrays
            part = part._replace(arrays=arrays)
        changed.append(part)
    return changed


class _WithoutDownload(Run):
    """A run of which only data that are at hand are read: recording it downloads nothing."""

    @property
    def settings(self) -> Experiment:
        return super().settings.replace({"data.download": False})


def chosen_arms(watch: Watch, arms: Sequence[str] | None) -> list[str]:
    """Return the chosen arms in the order of the settings; all where None.

    Raises:
        ValueError: the run has no such arm, or none is chosen.
    """
    for arm in arms or ():
        if arm not in watch.arms:
            raise ValueError(f"{watch.run.name} has no arm {arm!r}; it has {', '.join(watch.arms)}")
    if arms is not None and not arms:
        raise ValueError(f"choose at least one arm of {', '.join(watch.arms)}")
    return [arm for arm in watch.arms if arms is None or arm in arms]


def _frames(
    watch: Watch, name: str, steps: int | Sequence[int] | None
) -> tuple[dict[int, list[Part]], list[tuple[int, str]]]:
    """Return the frames of every arm by step, and the steps left out with the reason."""
    known = watch.run.steps
    if isinstance(steps, int) and steps < 1:
        raise ValueError(f"steps is {steps}: a recording has at least one")
    if steps is not None and not isinstance(steps, int):
        for step in steps:
            if step not in known:
                raise ValueError(f"{watch.run.name} has no snapshot of step {step}")
        known = sorted(set(steps))
    made: dict[int, list[Part]] = {}
    left_out: dict[int, str] = {}
    while True:  # until all chosen steps can be read
        readable = [step for step in known if step not in left_out]
        places = range(len(readable)) if not isinstance(steps, int) else thinned(readable, steps)
        chosen = [readable[place] for place in places]
        missing = [step for step in reversed(chosen) if step not in made]
        if not missing:
            return {step: made[step] for step in chosen}, sorted(left_out.items())
        for step in missing:  # the newest first: the others are turned onto its map
            try:
                made[step] = [parts.frame_part(watch, name, arm, step) for arm in watch.arms]
            except (ValueError, KeyError) as error:
                left_out[step] = without_paths(str(error))


def thinned(steps: Sequence[int], most: int) -> list[int]:
    """Return the places of at most `most` steps: the last, the first, others evenly between.

    >>> thinned([0, 10, 20, 30, 40], 3), thinned([0, 10, 20], 1)
    ([0, 2, 4], [2])
    """
    if most == 1:
        return [len(steps) - 1] if steps else []
    return [int(place) for place in spread_evenly(len(steps), most)]


def _run_part(watch: Watch, name: str) -> Part:
    part = parts.run_part(watch, name, ours=False)
    return part._replace(about={**part.about, "title": without_paths(part.about["title"])})


def _status_part(status: Status, name: str, steps: Sequence[int], result: str) -> Part:
    """Return the progress at the time of recording, without what belongs to the machine."""
    progress = f"step {status.step} of {status.total}"
    phase = status.phase
    sentence = "" if phase == "finished" else f"recorded at {progress}; then it was {phase}"
    about = {
        "run": name,
        "phase": "finished" if phase == "finished" else "recorded",
        "sentence": sentence,
        "error": None,
        "step": status.step,
        "total": status.total,
        "epoch": status.epoch,
        "speed": None,
        "delay": 0,
        "steps": list(steps),
        "maps_working": False,
        "result": result,
    }
    return Part("status", about)


def _image_parts(watch: Watch, name: str, count: int) -> list[Part]:
    """Return the images of all samples, else of the first `count`, as large as there is room."""
    try:
        sides = watch.sample_images()._asdict()
    except sample_images.NoPictures as error:
        return [Part("images", {"run": name, "side": "teacher", "why": str(error)})]
    except (ValueError, OSError, IndexError):
        return [Part("images", {"run": name, "side": "teacher", "why": NO_DATA})]
    for side, most in ((s, m) for s in IMAGE_SIDES for m in (None, count)):
        found = parts.image_parts(
            name, {which: _smaller(images[:most], side) for which, images in sides.items()}
        )
        if sum(part.arrays["png"].nbytes for part in found if part.arrays) <= MOST_IMAGE_BYTES:
            return found
    return [Part("images", {"run": name, "side": "teacher", "why": TOO_LARGE})]


def _smaller(images: Array, side: int) -> Array:
    """Return images (m, H, W, 3) with at most `side` rows and columns."""
    from PIL import Image

    height, width = images.shape[1:3]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return images
    size = (max(round(scale * width), 1), max(round(scale * height), 1))
    return np.stack(
        [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images]
    )


def without_paths(text: str) -> str:
    """Return a text in which only the last part of each path stands, and whole on one line.

    >>> without_paths("no file '/home/me/my data/a.npz' beside /srv/b/c.pt; kd/crd, 1 / 2")
    "no file '…/a.npz' beside …/c.pt; kd/crd, 1 / 2"
    """
    text = QUOTED.sub(lambda found: f"{found[1]}{last_part(found[2])}{found[1]}", text)
    return " ".join(PATH.sub(lambda found: last_part(found[0]), text).split())


def last_part(path: str) -> str:
    """Return a path of which only the last part is left."""
    return "…/" + re.split(r"[/\\]", path.rstrip("/\\"))[-1]
