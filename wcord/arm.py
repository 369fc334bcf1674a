"""An arm: a student and a weighted sum of terms, with the state that training moves."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from wcord.experiment import OptimizerSettings
from wcord.models import Network
from wcord.objectives import Objective
from wcord.objectives.term import Batch, Output, Passes, Shapes, TermSettings
from wcord.randomness import seed_of
from wcord.schedule import build_optimizer, set_learning_rate


class Arm:
    """One student on its way: network, objective and optimizer.

    Every arm starts from a copy of the same student and draws by (seed, purpose, step) alone,
    so its numbers do not depend on which others run beside it.

    Args:
        name: as in the settings; used in messages and files, never in a draw.
        terms: settings of its terms.
        student: the network that all arms start from; copied.
        shapes: sizes of the task.
        optimizer: how weights move.
        seed: the run's seed.
        device: where it lives.
    """

    def __init__(
        self,
        name: str,
        terms: Mapping[str, TermSettings],
        student: Network,
        shapes: Shapes,
        optimizer: OptimizerSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.name = name
        self.seed = seed
        self.student = deepcopy(student).to(device)
        self.objective = Objective(dict(terms), shapes, seed).to(device)
        self.maps = self.objective.needs_maps
        self.parameters = [p for p in self._parts().parameters() if p.requires_grad]
        self.optimizer = build_optimizer(optimizer, self.parameters)
        self.latest: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        self.frozen: str | None = None
        self._draws = any(isinstance(m, nn.modules.dropout._DropoutNd) for m in student.modules())

    def _parts(self) -> nn.ModuleDict:
        return nn.ModuleDict({"student": self.student, "objective": self.objective})

    def prime(self, passes: Passes) -> None:
        """Fill banks and centres by real features before the first step."""
        self.objective.prime(passes)

    def step(self, batch: Batch, teacher: Output, images: Tensor, rate: float, dtype: Any) -> None:
        """Take one training step: forward, objective, backward, move, write the banks.

        A loss or gradient that is not finite freezes the arm before its weights move.
        """
        if self.frozen:
            return
        self.student.train()
        if self._draws:
            torch.manual_seed(seed_of(self.seed, "dropout", batch.step))
        with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            student = self.student(images, maps=self.maps)
        total, losses = self.objective(batch, teacher, student.float())
        self.optimizer.zero_grad(set_to_none=True)
        if total.requires_grad:  # not where every weight is 0: a control that is never trained
            total.backward()
        if self._freeze_if_broken(total, losses, batch.step):
            return
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.objective.update()
        self._add({"total": total, **losses, **self.objective.logs})

    @property
    def last(self) -> dict[str, float]:
        """The scalars of the last step."""
        return {name: value.item() for name, value in self.latest.items()}

    def _freeze_if_broken(self, total: Tensor, losses: dict[str, Tensor], step: int) -> bool:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if torch.isfinite(total.detach() + torch.nn.utils.get_total_norm(gradients)):
            return False
        broken = [term for term, loss in losses.items() if not torch.isfinite(loss)]
        what = f"{broken[0]} became {losses[broken[0]].item():g}" if broken else "a gradient broke"
        if not broken:
            what = f"the gradient of {' + '.join(losses)} became infinite or NaN"
        self.frozen = f"arm {self.name!r} froze at step {step}: {what}"
        return True

    def _add(self, scalars: dict[str, Tensor]) -> None:
        self.latest = {name: value.detach() for name, value in scalars.items()}
        for name, value in self.latest.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.summed += 1

    def losses(self) -> dict[str, float]:
        """Return the mean of every scalar since the last call, and begin anew."""
        if not self.summed:
            return {}
        names = sorted(self.sums, key=lambda name: (name != "total", "." in name, name))
        values = torch.stack([self.sums[name].double() for name in names]) / self.summed
        means = dict(zip(names, values.tolist(), strict=True))
        self.sums, self.summed = {}, 0
        return means

    # -- what resuming needs ---------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return everything that training moves as named tensors."""
        state = dict(self._parts().state_dict())
        for place, entry in self.optimizer.state_dict()["state"].items():
            for key, value in entry.items():
                if value is not None:
                    state[f"optimizer/{place}/{key}"] = torch.as_tensor(value)
        for name, value in self.sums.items():
            state[f"sums/{name}"] = value
        state["summed"] = torch.tensor(self.summed)
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned.

        Raises:
            RuntimeError: the tensors are of another arm.
        """
        modules = {k: v for k, v in state.items() if k.startswith(("student.", "objective."))}
        self._parts().load_state_dict(modules)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer/"):
                _, place, name = key.split("/")
                moments.setdefault(int(place), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        device = self.parameters[0].device
        self.sums = {
            k.removeprefix("sums/"): v.to(device) for k, v in state.items() if k.startswith("sums/")
        }
        self.summed = int(state["summed"])
