"""The results of a run that reached its last step."""

from __future__ import annotations

import platform
from typing import Any

import torch

from wcord.training.arm import Arm
from wcord.training.evaluation import outputs
from wcord.training.linear_probe import linear_probes
from wcord.training.prepare import Prepared


def summary(prepared: Prepared) -> dict[str, Any]:
    """Return the results: every arm at the last step, and the conditions."""
    data, experiment = prepared.task.data, prepared.experiment
    return {
        "experiment": experiment.name,
        "seed": experiment.seed,
        "epochs": experiment.epochs,
        "steps": prepared.task.total,
        "teacher": _teacher_result(prepared),
        "arms": {arm.name: _result(prepared, arm) for arm in prepared.arms},
        "samples": {
            "train": len(data.train),
            "labelled": int(data.labelled.sum()),
            "choices": len(data.choices),
            "test": len(data.test),
        },
        "seconds": round(prepared.seconds, 2),
        "device": str(prepared.test_labels.device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _teacher_result(prepared: Prepared) -> dict[str, float]:
    task = prepared.task
    values = {k.removeprefix("teacher_"): v for k, v in prepared.teacher_values.items()}
    return values | linear_probes(prepared.probe_data, task.teacher, task.teacher_input)


def _result(prepared: Prepared, arm: Arm) -> dict[str, Any]:
    probe, measure = prepared.probe, prepared.probe.measured_by
    output = outputs(arm.student, probe.student_images[probe.choices])
    return {
        **prepared.test_values(arm),
        f"held_out_{measure.name}": measure.of(output.logits, probe.labels[probe.choices]),
        "parameters": sum(p.numel() for p in arm.student.parameters()),
        "frozen": arm.frozen,
        **linear_probes(prepared.probe_data, arm.student, prepared.task.student_input),
    }
