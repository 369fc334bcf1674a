"""Every setting with its value, default, allowed values and meaning, for `wcord show` and the docs.

The models of the settings are the one source: `description` of a field is its meaning, and its
JSON schema gives the allowed values. Values that suit other settings than the default ones stand in
`json_schema_extra` of the field: {"suited": {other setting: {its value: value that suits it}}}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wcord.objectives import TERMS
from wcord.settings.experiment import Experiment


@dataclass(frozen=True)
class Setting:
    """One setting, or a table of settings.

    Attributes:
        path: its name in parts; the name of an arm may contain dots.
        meaning: what it sets, with its unit.
        allowed: the values that are accepted, as text; "" for a table.
        default: its value where nothing is set; None for a table.
        value: its value in the experiment; the default without one.
        choices: the values where they can be listed, else None.
        suited: other values that suit values of other settings, as
            {"form": {"nce": 0.8, "infonce": 0.8}}.
        table: whether it is a table of the settings that follow.
        required: whether it has no default.
    """

    path: tuple[str, ...]
    meaning: str
    allowed: str = ""
    default: Any = None
    value: Any = None
    choices: list[Any] | None = None
    suited: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    table: bool = False
    required: bool = False

    @property
    def key(self) -> str:
        """The dotted name, as in `Experiment.replace` and on the command line."""
        return ".".join(self.path)

    @property
    def changed(self) -> bool:
        """Whether the value is not the default."""
        return not self.table and not self.required and self.value != self.default

    @property
    def suited_text(self) -> str:
        """The values that suit other settings, as text.

        >>> Setting((), "", suited={"form": {"a": 5.0, "b": 0.8, "c": 0.8}}).suited_text
        '5 suits form a; 0.8 suits form b or c'
        """
        parts = []
        for name, values in self.suited.items():
            for value in dict.fromkeys(values.values()):
                cases = " or ".join(case for case, suited in values.items() if suited == value)
                parts.append(f"{value:g} suits {name} {cases}")
        return "; ".join(parts)

    def record(self) -> dict[str, Any]:
        """Return the setting as plain data."""
        return {
            "key": self.key,
            "value": self.value,
            "default": self.default,
            "changed": self.changed,
            "required": self.required,
            "allowed": self.allowed,
            "choices": self.choices,
            "suited": {name: dict(values) for name, values in self.suited.items()},
            "meaning": self.meaning,
        }


def settings_of(experiment: Experiment | None = None) -> list[Setting]:
    """Return every setting of an experiment in order, tables before their settings.

    Args:
        experiment: gives the values and the arms; without one, the values are the defaults and
            `arms` has no settings.
    """
    found = []
    for setting in _listed(Experiment, experiment.plain() if experiment else {}, {}, ()):
        found.append(setting)
        if setting.key == "arms" and experiment is not None:
            found += [inside for arm in experiment.arms for inside in _arm(arm, experiment)]
    return found


def settings_of_model(model: type[BaseModel]) -> list[Setting]:
    """Return the settings of a model, such as that of a term or a view, with their defaults."""
    return list(_listed(model, {}, {}, ()))


def changed_only(settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings whose value is not the default, and the tables that they are in."""
    kept = {setting.path for setting in settings if setting.changed}
    tables = {path[:length] for path in kept for length in range(1, len(path))}
    return [setting for setting in settings if setting.path in kept | tables]


def first_sentence(model: type) -> str:
    """Return the first sentence of a class's docstring.

    >>> class A:
    ...     '''A thing. More of it.'''
    >>> first_sentence(A)
    'A thing'
    """
    paragraph = " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".")


def _arm(arm: str, experiment: Experiment) -> Iterator[Setting]:
    yield Setting(("arms", arm), "a student and its weighted sum of terms", table=True)
    for term, settings in experiment.arms[arm].items():
        path = ("arms", arm, term)
        yield Setting(path, first_sentence(TERMS[term]), table=True)
        yield from _listed(TERMS[term].Settings, settings.model_dump(mode="json"), {}, path)


def _listed(
    model: type[BaseModel],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    above: tuple[str, ...],
) -> Iterator[Setting]:
    """Return the settings of a model.

    Args:
        model: the model.
        values: plain values; a setting without one has its default.
        defaults: plain defaults that replace those of the model.
        above: the path of the model's table.
    """
    schema = model.model_json_schema()
    defaults = {k: v["default"] for k, v in schema["properties"].items() if "default" in v} | dict(
        defaults
    )
    for name, info in model.model_fields.items():
        path, inner, own = (*above, name), info.annotation, schema["properties"][name]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield Setting(path, first_sentence(inner), table=True)
            yield from _listed(inner, values.get(name, {}), defaults.get(name, {}), path)
            continue
        table = path == ("arms",)
        yield Setting(
            path=path,
            meaning=info.description or "",
            allowed="" if table else allowed_text(own, schema.get("$defs", {})),
            default=defaults.get(name),
            value=None if table else values.get(name, defaults.get(name)),
            choices=_choices(own),
            suited=suited_values(info),
            table=table,
            required=info.is_required(),
        )


def suited_values(info: FieldInfo) -> Mapping[str, Mapping[str, Any]]:
    """Return the values that suit values of other settings, as in `Setting.suited`."""
    extra = info.json_schema_extra  # the schema itself sorts the entries
    suited = extra.get("suited", {}) if isinstance(extra, dict) else {}
    return cast("Mapping[str, Mapping[str, Any]]", suited)


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    if schema.get("type") == "boolean":
        return [True, False]
    return schema.get("enum")


def allowed_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the values that a JSON schema accepts, as text.

    Args:
        schema: of one setting.
        definitions: the schemas that it may refer to ("$defs").

    >>> allowed_text({"type": "integer", "minimum": 1}, {})
    'integer, 1 or more'
    >>> allowed_text({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, {})
    'a, b; or null'
    """
    if "anyOf" in schema:
        parts = [allowed_text(part, definitions) for part in schema["anyOf"]]
        return ("; or " if any(", " in part for part in parts) else " or ").join(parts)
    if "$ref" in schema:
        names = definitions[schema["$ref"].rpartition("/")[2]]["properties"]
        return f"a table of {' and '.join(names)}"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])} values"
        items = allowed_text(schema.get("items", {}), definitions)
        return f"a list ({items})" if items else "a list"
    names = {"boolean": "true or false", "string": "text", "object": "a table", "null": "null"}
    if kind in names:
        return names[kind]
    return ", ".join([kind, *_bounds(schema)]) if kind else ""


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Return the range of a number in words."""
    texts = {
        "multipleOf": "a multiple of {:g}",
        "exclusiveMinimum": "above {:g}",
        "minimum": "{:g} or more",
        "exclusiveMaximum": "below {:g}",
        "maximum": "at most {:g}",
    }
    if "minimum" in schema and "maximum" in schema:
        yield f"{schema['minimum']:g} to {schema['maximum']:g}"
        texts = {"multipleOf": texts["multipleOf"]}
    for name, text in texts.items():
        if name in schema:
            yield text.format(schema[name])
