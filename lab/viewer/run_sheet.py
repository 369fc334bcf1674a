"""What an exported page writes below the view: results, conditions, how to repeat, settings.

No path and no name of the machine is in it: of a path only its last part is written.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from typing import Any

from wcord.runs import Run
from wcord.settings.settings_file import as_yaml

from ..reading import settings_text
from ..words.vocabulary import RESULTS, held_out, metric
from .packing import last_part, without_paths

ABSOLUTE = re.compile(r"~?/|\\\\|[A-Za-z]:[\\/]")
PROBE = "linear_probe_accuracy"
PARTS = (
    ("train", "for training"),
    ("labelled", "of them with a label"),
    ("choices", "held out"),
    ("test", "for the test"),
)


def html_of(run: Run, about: Mapping[str, Any]) -> str:
    """Return the sections of a run as HTML.

    Args:
        run: the run.
        about: facts of its recording, by the kind of part.
    """
    settings = run.plain_settings
    public = public_settings(settings)
    summary = run.summary or {}
    result = RESULTS.get(str((run.data or {}).get("targets")), RESULTS["classes"])
    arms = [arm["name"] for arm in about["run"]["arms"]]
    sections = [
        ("Results", _results(summary, arms, about, result)),
        ("Conditions", _conditions(summary, public)),
        ("How to repeat this run", _repeat(run, public, public == settings)),
        ("This page", _recorded(run, about)),
        ("Settings", _settings(public, about["run"]["run"])),
    ]
    return "\n".join(
        f"<section><h2>{title}</h2>\n{content}\n</section>" for title, content in sections
    )


def public_settings(value: Any) -> Any:
    """Return settings in which only the last part of each path stands.

    >>> public_settings({"source": "folder:/home/me/my cats", "teacher": ["./a.pt", "/srv/a.pt"]})
    {'source': 'folder:…/my cats', 'teacher': ['./a.pt', '…/a.pt']}
    """
    if isinstance(value, dict):
        return {key: public_settings(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [public_settings(inner) for inner in value]
    if not isinstance(value, str):
        return value
    kind, colon, place = value.partition(":")
    if ABSOLUTE.match(value):
        return last_part(value)
    if colon and ABSOLUTE.match(place) and not place.startswith("//"):
        return f"{kind}:{last_part(place)}"
    cleaned = without_paths(value)
    return value if cleaned == " ".join(value.split()) else cleaned


def _table_of(value: Any) -> dict[str, Any]:
    """Return a table as it is, and an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def _results(
    summary: Mapping[str, Any], arms: Sequence[str], about: Mapping[str, Any], result: str
) -> str:
    results = {"teacher": summary.get("teacher"), **_table_of(summary.get("arms"))}
    rows = {name: _table_of(results.get(name)) for name in ("teacher", *arms)}
    rows = {name: row for name, row in rows.items() if row}
    if not set(rows) - {"teacher"}:
        sentence = about["status"]["sentence"] or "the run has none"
        return f"<p>No results yet: {escape(sentence)}. The curves above are what there is.</p>"
    results_of = [result, held_out(result)]
    names = [*results_of, *(key for key in _keys(rows) if key.startswith(PROBE))]
    heads = ["arm", *(_heading(name) for name in names), "parameters"]
    body = [
        [name, *(_number(row.get(key)) for key in names), _whole(row.get("parameters"))]
        for name, row in rows.items()
    ]
    meanings = _list({_heading(name): metric(name).meaning for name in results_of})
    unit = "R²" if result == RESULTS["regression"] else "Per cent"
    words = (
        f"{unit}, at the last epoch of one run with one seed. Several seeds are needed to know "
        "which differences between arms are more than chance: <code>wcord sweep</code>."
    )
    frozen = [
        f"{name} was frozen at {row['frozen']}" for name, row in rows.items() if row.get("frozen")
    ]
    note = f"<p>{escape('; '.join(frozen))}.</p>" if frozen else ""
    return f'<div class="wide">{_table(heads, body)}</div>\n<p>{words}</p>{note}{meanings}'


def _keys(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows.values() for key in row))


def _heading(name: str) -> str:
    if name.startswith(PROBE):
        return f"linear probe{name.removeprefix(PROBE).replace('_', ' ')}"
    return metric(name).short


def _conditions(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    data = _table_of(settings.get("data"))
    samples = _table_of(summary.get("samples"))
    versions = _table_of(summary.get("versions"))
    steps = [f"{summary['steps']} steps"] if "steps" in summary else []
    batch = f"batches of {settings.get('batch')}"
    known = {
        "experiment": settings.get("name"),
        "data": ", ".join(
            [str(data.get("source", "")), *_labels(data.get("labels_per_class"))]
        ).strip(", "),
        "samples": ", ".join(f"{samples[key]} {words}" for key, words in PARTS if key in samples),
        "seed": settings.get("seed"),
        "training": ", ".join([f"{settings.get('epochs')} epochs", *steps, batch]),
        "device": _device(summary),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return _list({name: value for name, value in known.items() if value not in (None, "")})


def _labels(count: Any) -> list[str]:
    return [] if count is None else [f"{count} labels a class"]


def _device(summary: Mapping[str, Any]) -> str:
    if "device" not in summary:
        return ""
    threads = summary.get("threads")
    words = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
    return f"{summary['device']}{words}"


def _repeat(run: Run, settings: Mapping[str, Any], complete: bool) -> str:
    """Return the commands that train the same again, and what the inputs were."""
    line = "wcord train settings.yaml"
    words = "With the settings below in a file, and the same versions and data:"
    if complete and (whole := _from_preset(run)):
        line, words = whole, "With the same versions and data:"
    record = run.data or {}
    notes = []
    if not complete:
        notes.append("Of paths only the last part is written: put yours in their place.")
    if own := record.get("own"):
        notes.append(
            f"{', '.join(own)}: objects of a Python program, which no settings file describes."
        )
    facts = {"wcord": version("wcord")}
    if record:
        facts["data set"] = public_settings(str(record.get("name", "")))
        facts["fingerprint of all inputs"] = str(record.get("fingerprint", ""))
    for name, value in _table_of(record.get("inputs")).items():
        facts[public_settings(without_paths(str(name)))] = without_paths(str(value))
    paragraphs = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'<p>{words}</p><pre class="command">{escape(line)}</pre>{paragraphs}{_list(facts)}'


def _from_preset(run: Run) -> str | None:
    """Return the command line that trains these settings from their preset, None without one."""
    from wcord.settings.loading import presets

    name = str(run.plain_settings.get("name"))
    if name not in presets():
        return None
    try:
        return settings_text.command(name, run.settings)
    except (ValueError, ImportError, OSError):
        return None


def _settings(settings: Mapping[str, Any], name: str) -> str:
    """Return the settings, and a link that saves them to a file."""
    text = as_yaml(settings)
    coded = base64.b64encode(text.encode()).decode()
    return (
        f'<p><a download="{escape(name)}.yaml" href="data:application/yaml;base64,{coded}">'
        f"Save them to a file</a></p>\n<details><summary>Show them</summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def _recorded(run: Run, about: Mapping[str, Any]) -> str:
    steps, left_out = about["status"]["steps"], about["recording"]["left_out"]
    sentence = about["status"]["sentence"]
    words = [
        f"It shows {len(steps)} of {len(run.steps)} snapshots, steps {steps[0]} to {steps[-1]}, "
        "and fetches nothing."
    ]
    if sentence:
        words.append(f"The run was {sentence}.")
    words += [f"Step {step} is left out: {why}." for step, why in left_out]
    return "".join(f"<p>{escape(line)}</p>" for line in words)


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _list(facts: Mapping[str, Any]) -> str:
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items()
    )
    return f"<dl>{lines}</dl>"


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "–"


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"
