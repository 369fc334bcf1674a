"""What a term needs of the data and of the teacher, and why it cannot be used where that lacks."""

from __future__ import annotations

from wcord.objectives.term import Shapes, Term, TermSettings

# kinds of labels, with their words in messages
TARGETS = {
    "classes": "one class a sample",
    "regression": "regression targets",
    "multilabel": "several labels a sample",
}


def unmet_need(
    term: type[Term], settings: TermSettings, shapes: Shapes, maps: bool = True
) -> str | None:
    """Return why a term cannot be used, with advice; None where it can.

    Args:
        term: the class of the term.
        settings: of the term.
        shapes: sizes of the task.
        maps: whether to check that both networks have feature maps.
    """
    name, missing = term.name, shapes.missing
    classes = term.classes_needed_by(settings)
    if classes and shapes.targets != "classes":
        return (
            f"{classes} needs classes, but the data have {TARGETS[shapes.targets]}: "
            f"{_remedy(term, shapes.targets)}"
        )
    if term.targets is not None and term.targets != shapes.targets:
        return (
            f"{name} needs {TARGETS[term.targets]}, but the data have {TARGETS[shapes.targets]}: "
            f"{_remedy(term, shapes.targets)}, or set data.targets to {term.targets} if these "
            "labels are meant so"
        )
    if term.needs_logits and not shapes.same_labels:
        return (
            f"{name} compares logits, but teacher and student have different label sets: "
            f"remove {name} or use a term on features such as gckt, crd or hint"
        )
    if term.needs_logits and "logits" in missing:
        return (
            f"{name} compares logits, but only the teacher's features are given: give its logits "
            "too, or use a term on features such as gckt, crd or hint"
        )
    if term.needs_teacher and term.needs_features and "features" in missing:
        return (
            f"{name} needs the teacher's features, but only its logits are given: give its "
            "features too, or use kd, dkd or dist"
        )
    if classes and term.needs_teacher and "groups" in missing:
        return (
            f"{classes} needs a class of every sample, but some training samples have no label "
            "that may be used and the teacher's logits are not given: give its logits too, set "
            "data.labels_per_class to null, or use gckt with negatives 'any'"
        )
    if maps and term.needs_maps and not (shapes.teacher_maps and shapes.student_maps):
        return (
            f"{name} compares feature maps, but a network offers none: remove {name} or use a "
            "term on features such as gckt, crd or hint"
        )
    return None


def _remedy(term: type[Term], targets: str) -> str:
    """Return what to use in place of a term that does not fit the labels."""
    if term.needs_teacher:
        return "use a term on features such as gckt, lckt or hint"
    return {"classes": "use ce", "regression": "use mse", "multilabel": "use bce"}[targets]
