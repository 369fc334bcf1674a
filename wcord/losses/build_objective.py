"""Build the objective of a loss: its terms, on features alone."""

from __future__ import annotations

import torch

from wcord.losses.misuse import HALF
from wcord.objectives import TERMS, Objective
from wcord.objectives.term import Shapes, TermSettings


def build_objective(
    settings: dict[str, TermSettings], shapes: Shapes, seed: int, name: str
) -> Objective:
    """Return the objective of a loss on the default device, with the same weights on every device.

    Projections of lckt that are never used are frozen.

    Raises:
        ValueError: a term that does not compare features; a default dtype of half precision.
    """
    for term in settings:
        _check_compares_features(term, name)
    if torch.get_default_dtype() in HALF:
        raise ValueError(
            f"{name} is built in float32: torch.set_default_dtype(torch.float32) before"
        )
    # not torch.get_default_device, which fails in torch 2.9 after set_default_device(None)
    device = torch.empty(0).device
    with torch.inference_mode(False), torch.device("cpu"):
        objective = Objective(settings, shapes, seed)
        _freeze_unused(objective, shapes)
        return objective.to(device)


def _check_compares_features(term: str, name: str) -> None:
    kind = TERMS[term]
    if not kind.needs_teacher:
        raise ValueError(f"{name}: {term} does not compare features: add it in your own loop")
    for needed, what in ((kind.needs_logits, "logits"), (kind.needs_maps, "feature maps")):
        if needed:
            raise ValueError(f"{name}: {term} compares {what}, and this module takes features only")


def _freeze_unused(objective: Objective, shapes: Shapes) -> None:
    """Freeze the projections of lckt if it uses the embeddings of gckt or crd."""
    terms = {term.name: term for term in objective}
    shared = next((terms[name] for name in ("gckt", "crd") if name in terms), None)
    if "lckt" not in terms or shared is None or not terms["lckt"].settings.share:
        return
    with torch.no_grad():
        embeddings = shared.embed(
            torch.zeros(1, shapes.teacher_dim), torch.zeros(1, shapes.student_dim)
        )
    if embeddings is not None and embeddings[0].shape == embeddings[1].shape:
        terms["lckt"].requires_grad_(False)
