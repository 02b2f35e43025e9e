"""Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon): momentum whose matrix is made orthogonal before a step.

A module, not a command; torch 2.11.0. Steps are scaled as in Liu et al. 2025 (arXiv:2502.16982), so that their size is
that of AdamW's at the same learning rate. Nothing in a step waits for the device, so it can be recorded.
"""

import torch

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Of the Newton-Schulz iteration; five make singular values 0.7 to 1.2.


class Muon:
    """For matrices; `param_groups` as an optimizer of torch has them."""

    def __init__(self, matrices: list[torch.Tensor], lr, weight_decay: float):
        self.param_groups = [{"params": matrices, "lr": lr, "weight_decay": weight_decay}]
        self.alike: dict[torch.Size, list[torch.Tensor]] = {}
        for matrix in matrices:
            self.alike.setdefault(matrix.shape, []).append(matrix)
        self.momentum = [torch.zeros(len(m), *shape, device=m[0].device) for shape, m in self.alike.items()]

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        for (shape, matrices), momentum in zip(self.alike.items(), self.momentum):
            gradients = torch.stack([m.grad for m in matrices])
            momentum.lerp_(gradients, 1 - MOMENTUM)
            change = orthogonal(gradients.lerp(momentum, MOMENTUM)) * (0.2 * max(shape) ** 0.5)
            change += group["weight_decay"] * torch.stack(matrices)
            torch._foreach_sub_(matrices, list((group["lr"] * change).unbind()))

    def zero_grad(self, set_to_none: bool = True) -> None:
        for matrix in self.param_groups[0]["params"]:
            matrix.grad = None

    def state_dict(self) -> dict:
        return {"momentum": self.momentum}

    def load_state_dict(self, state: dict) -> None:
        for kept, given in zip(self.momentum, state["momentum"], strict=True):
            kept.copy_(given)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """x: [N, rows, columns] -> the same with singular values near 1."""
    tall = x.shape[1] > x.shape[2]
    y = (x.mT if tall else x).to(torch.bfloat16 if x.is_cuda else x.dtype)
    y = y / (y.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return (y.mT if tall else y).float()
