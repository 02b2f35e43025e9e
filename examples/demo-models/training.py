"""What the training scripts share: a budget of time and its course, states, averaged weights, steps as CUDA graphs.

A module, not a command; torch 2.11.0.
"""

import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import muon

STARTED = time.monotonic()
WARM_UP = 3  # Steps before one is recorded: libraries choose their kernels and take their memory.


def log(line: str) -> None:
    print(f"[{time.monotonic() - STARTED:6.1f}] {line}", flush=True)


class Budget:
    """A phase of `minutes`; what a run before this one spent is counted."""

    def __init__(self, minutes: float, spent: float = 0.0):
        self.seconds, self.before, self.start = 60 * minutes, spent, time.monotonic()

    def spent(self) -> float:
        return self.before + time.monotonic() - self.start

    def share(self) -> float:
        """From 0 at the start to 1 at the end."""
        return min(1.0, self.spent() / max(self.seconds, 1e-9))


class Course(Budget):
    """A phase over all starts, what falls due in it, and its losses."""

    def __init__(self, name: str, minutes: float, spent: float):
        super().__init__(minutes, spent)
        self.name = name
        self.saved = self.told = self.start
        self.steps = 0
        self.losses: dict[str, list] = {}

    def rate(self, warm_up: float) -> float:
        """Factor of the learning rate: up over a share of the time, then down a cosine to 0.01."""
        part = self.share()
        return max(1e-3, min(part / warm_up, 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * part))))

    def note(self, name: str, loss: torch.Tensor) -> None:
        """Keeps a loss without waiting for the device, and prints now and then."""
        kept = self.losses.setdefault(name, [torch.zeros((), device=loss.device), 0])
        kept[0] += loss.detach()
        kept[1] += 1
        self.steps += 1
        passed = time.monotonic() - self.told
        if passed > 10:
            means = ", ".join(f"{name} {value:.4f}" for name, value in self.means().items())
            passed = time.monotonic() - self.told  # Reading the losses waited for the device.
            steps = sum(n for _, n in self.losses.values())
            log(f"{self.name} {self.spent():.0f}/{self.seconds:.0f} s, {steps / passed:.1f} steps/s: {means}")
            self.told, self.losses = time.monotonic(), {}

    def means(self) -> dict[str, float]:
        """Of the losses since the last print; ends the command where one is no number."""
        values = {name: (total / n).item() for name, (total, n) in sorted(self.losses.items())}
        if not all(map(math.isfinite, values.values())):
            raise SystemExit(f"{self.name}: a loss is no number after {self.steps} steps; a lower rate may help")
        return values

    def due(self, now: bool = False) -> bool:
        """Whether a state is to be kept: every minute or `now`, and none with weights that have gone wrong."""
        if not now and time.monotonic() - self.saved < 60:
            return False
        self.means()
        self.saved = time.monotonic()
        return True

    @property
    def over(self) -> bool:
        return self.share() >= 1


def learning_rate(top: float, share: float) -> float:
    """Rises over the first 3 % of the time, then falls along a cosine."""
    return top * min(1.0, share / 0.03 + 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def keep(path: Path, state: dict) -> None:
    """Writes a state that is whole or not there."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


class Ranks:
    """The processes of one training, one a GPU, as torchrun starts them; one alone without it.

    Each takes steps on batches of its own; now and then all go on from the mean of their weights (local SGD, Stich 2018,
    arXiv:1805.09767). They talk through the host: nothing of it is in a recorded step.
    """

    def __init__(self):
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.count > 1:
            torch.distributed.init_process_group("gloo")
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))

    @torch.no_grad()
    def mean(self, tensors: list[torch.Tensor]) -> None:
        """Makes each tensor the mean of all processes' ones."""
        if self.count == 1:
            return
        flat = torch.cat([t.flatten() for t in tensors]).cpu()
        torch.distributed.all_reduce(flat)
        parts = (flat / self.count).to(tensors[0].device).split([t.numel() for t in tensors])
        torch._foreach_copy_(tensors, [part.view_as(t) for part, t in zip(parts, tensors)])

    def first(self, value: float) -> float:
        """The first process's value."""
        kept = torch.tensor(value, dtype=torch.float64)
        if self.count > 1:
            torch.distributed.broadcast(kept, 0)
        return kept.item()


def optimizers_of(parameters, inner, highest: tuple[float, float], weight_decay: float, recorded: bool) -> tuple:
    """AdamW, and Muon for the `inner` ones of the parameters."""
    device, taken = parameters[0].device, {id(p) for p in inner}
    others = [p for p in parameters if id(p) not in taken]
    groups = [{"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0}]
    # A recorded step reads the learning rate from the device.
    rates = [torch.tensor(rate, device=device) if recorded else rate for rate in highest]
    adam = torch.optim.AdamW(groups, lr=rates[0], betas=(0.9, 0.99), fused=device.type == "cuda",
                             capturable=recorded)
    return adam, muon.Muon(inner, rates[1], weight_decay)


def set_rates(optimizers, highest: tuple[float, float], factor: float) -> None:
    for optimizer, top in zip(optimizers, highest):
        for group in optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(top * factor)
            else:
                group["lr"] = top * factor


def step(optimizers, parameters, loss: torch.Tensor) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


class Recorded:
    """A step of one shape as a CUDA graph: thousands of short kernels, which Python starts more slowly than the device
    runs them. Random numbers are the default generator's: a recording goes on in its sequence."""

    def __init__(self, step: Callable[..., torch.Tensor]):
        self.step, self.graph = step, None

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The same shapes at every call -> the step's loss, which the next call overwrites."""
        if self.graph is None:
            self.record(inputs)
        for kept, given in zip(self.inputs, inputs):
            kept.copy_(given)
        self.graph.replay()
        return self.loss

    def record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self.inputs = [x.clone() for x in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.step(*self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(*self.inputs).detach()


class Phase:
    """Trains the parameters of `modules` by the losses of `losses[bucket]()` until the time is over.

    Each bucket is one shape of batch; `weights` says how often it is drawn. On CUDA a step of a bucket is recorded once
    and replayed, unless `eager`. `averages` are copies of `modules` with averaged weights.
    """

    def __init__(self, modules, averages, losses, weights, top: float, minutes: float, file: Path, device: str,
                 eager: bool = False):
        self.modules, self.averages, self.losses, self.weights = modules, averages, losses, weights
        self.file, self.device, self.top = file, device, torch.tensor(top)
        self.recorded = device.startswith("cuda") and not eager
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self.copies = [p for m in averages for p in m.parameters()]
        self.originals = [p for m in modules for p in m.parameters()]
        cuda = device.startswith("cuda")
        rate = torch.tensor(0.0, device=device) if cuda else 0.0
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=cuda, capturable=cuda
        )
        self.decay = torch.tensor(0.0, device=device)
        self.steps = 0
        made = [partial(self.plain_step, bucket) for bucket in range(len(losses))]
        self.bucket_steps = [Recorded(step) for step in made] if self.recorded else made
        spent = 0.0
        if file.exists():
            state = torch.load(file, map_location=device, weights_only=True)
            spent, self.steps = state["spent"], state["steps"]
            for module, saved in zip([*modules, *averages], state["modules"]):
                module.load_state_dict(saved)
            self.optimizer.load_state_dict(state["optimizer"])
            if cuda:
                self.optimizer.param_groups[0]["lr"] = rate
        self.budget = Budget(minutes, spent)

    def run(self, name: str) -> None:
        told = saved = time.monotonic()
        first, generator = self.steps, torch.Generator().manual_seed(self.steps)
        start = time.monotonic()
        while self.budget.share() < 1.0:
            bucket = int(torch.multinomial(torch.tensor(self.weights), 1, generator=generator))
            rate = learning_rate(float(self.top), self.budget.share())
            group = self.optimizer.param_groups[0]
            if self.device.startswith("cuda"):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
            self.decay.fill_(min(0.9995, (1 + self.steps) / (10 + self.steps)))
            loss = self.bucket_steps[bucket]()
            self.steps += 1
            now = time.monotonic()
            if now - told > 10:
                told, per = now, (now - start) / (self.steps - first)
                text = f"{name}: {100 * self.budget.share():.0f} %, step {self.steps}, {1e3 * per:.1f} ms a step"
                print(f"{text}, bucket {bucket}, loss {float(loss):.5f}, rate {rate:.2e}", flush=True)
            if now - saved > 60:
                saved = now
                self.save()
        self.save()

    def plain_step(self, bucket: int) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        kind = "cuda" if self.device.startswith("cuda") else "cpu"
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda", cache_enabled=False):
            loss = self.losses[bucket]()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.copies, self.decay)
            torch._foreach_add_(self.copies, torch._foreach_mul(self.originals, 1 - self.decay))
        return loss.detach()

    def save(self) -> None:
        state = {
            "spent": self.budget.spent(),
            "steps": self.steps,
            "modules": [m.state_dict() for m in [*self.modules, *self.averages]],
            "optimizer": self.optimizer.state_dict(),
        }
        keep(self.file, state)
