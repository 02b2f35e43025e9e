"""Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon): momentum whose matrix is made orthogonal before a step.

A module, not a command; torch 2.11.0. Steps are scaled as in Liu et al. 2025 (arXiv:2502.16982), so that their size is
that of AdamW's at the same learning rate. Nothing in a step waits for the device, so it can be recorded.
"""

import torch

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Of the Newton-Schulz iteration; five make singular values 0.7 to 1.2.


class Muon:
    """For matrices, and for convolutions as matrices [out, in * places]; `param_groups` as an optimizer of torch has them."""

    def __init__(self, parameters: list[torch.Tensor], lr, weight_decay: float):
        self.param_groups = [{"params": parameters, "lr": lr, "weight_decay": weight_decay}]
        self.momentum = [torch.zeros_like(self.matrix(p)) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Of what has a gradient; those with the same shape together."""
        group = self.param_groups[0]
        alike: dict[torch.Size, list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]] = {}
        for parameter, momentum in zip(group["params"], self.momentum):
            if parameter.grad is not None:
                of = self.matrix(parameter), self.matrix(parameter.grad), momentum
                alike.setdefault(momentum.shape, []).append(of)
        for shape, each in alike.items():
            matrices, gradients, momentum = (list(part) for part in zip(*each))
            torch._foreach_lerp_(momentum, gradients, 1 - MOMENTUM)
            change = orthogonal(torch.stack(gradients).lerp(torch.stack(momentum), MOMENTUM))
            change = change * (0.2 * max(shape) ** 0.5) + group["weight_decay"] * torch.stack(matrices)
            torch._foreach_sub_(matrices, list((group["lr"] * change).unbind()))

    @staticmethod
    def matrix(x: torch.Tensor) -> torch.Tensor:
        """The same memory with two axes, the longer one last."""
        x = x.view(len(x), -1)
        return x.mT if len(x) > x.shape[1] else x

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    def state_dict(self) -> dict:
        return {"momentum": self.momentum}

    def load_state_dict(self, state: dict) -> None:
        for kept, given in zip(self.momentum, state["momentum"], strict=True):
            kept.copy_(given)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """x: [N, rows, columns], no more rows than columns -> the same with singular values near 1."""
    y = x.to(torch.bfloat16 if x.is_cuda else x.dtype)
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.float()
