"""A step of training recorded as a CUDA graph.

A module, not a command; torch 2.11.0. A step of a small model is thousands of short kernels, which Python starts more
slowly than the device runs them; a recording is started at once.
"""

from collections.abc import Callable

import torch

WARM_UP = 3  # Steps before recording: libraries choose their kernels and take their memory.


class Recorded:
    """Steps of one shape. Random numbers are the default generator's: a recording goes on in its sequence."""

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
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.step(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(*self.inputs).detach()
