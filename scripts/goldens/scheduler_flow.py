"""Writes ourvidz-core/tests/golden/scheduler_flow.safetensors and .json: diffusers' schedulers for flow matching.

    python scripts/goldens/scheduler_flow.py            # made with diffusers 0.42.1, torch 2.11.0

    sample [1, 4, 4], model_outputs [50, 1, 4, 4]    the start of each loop, and what the model says at each step
    clean [1, 4, 4]                                  what noise (`sample`) is added to
    {schedule}.timesteps [N], {schedule}.sigmas [N + 1]
    {schedule}.noised [N, 1, 4, 4]                   `clean` at the noise level of each step
    {case}.samples [N - B, 1, 4, 4]                  after each step, from step B ("begin")

The JSON names for each case its class, its configuration, its steps, its first step where that is not 0, and its
schedule. In a case of
`not_finite` diffusers itself has no number (a step of second or third order onto a sigma of zero, or onto the same
sigma), so there is nothing to compare.
"""

import itertools
import json
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "ourvidz-core/tests/golden/scheduler_flow"
STEPS = (1, 2, 4, 10, 25, 50)
SHIFTS = (1.0, 3.0, 5.0, 8.0)
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "num_train_timesteps": 1000}


def cases():
    """Class, configuration."""
    for order, kind, lower, final in itertools.product((1, 2, 3), ("bh1", "bh2"), (True, False), ("zero", "sigma_min")):
        more = {"solver_order": order, "solver_type": kind, "lower_order_final": lower, "final_sigmas_type": final}
        yield UniPCMultistepScheduler, FLOW | {"flow_shift": 3.0} | more
    yield UniPCMultistepScheduler, FLOW | {"flow_shift": 3.0, "disable_corrector": [0, 1]}
    grid = itertools.product((1, 2, 3), ("midpoint", "heun"), (True, False), (False, True), ("zero", "sigma_min"))
    for order, kind, lower, euler, final in grid:
        more = {"solver_order": order, "solver_type": kind, "lower_order_final": lower}
        more |= {"euler_at_final": euler, "final_sigmas_type": final, "algorithm_type": "dpmsolver++"}
        yield DPMSolverMultistepScheduler, FLOW | {"flow_shift": 3.0} | more
    for shift in SHIFTS:
        for cls in (UniPCMultistepScheduler, DPMSolverMultistepScheduler):
            if shift != 3.0:
                yield cls, FLOW | {"flow_shift": shift}
        yield FlowMatchEulerDiscreteScheduler, {"num_train_timesteps": 1000, "shift": shift}


def loop(scheduler, sample: torch.Tensor, outputs: torch.Tensor, begin: int) -> torch.Tensor | None:
    samples = []
    for t, output in zip(scheduler.timesteps[begin:], outputs):
        try:
            sample = scheduler.step(output, t, sample, return_dict=False)[0]
        except torch.linalg.LinAlgError:  # The system of UniPC's third order is singular.
            return None
        samples.append(sample)
    samples = torch.stack(samples)
    return samples.contiguous() if samples.isfinite().all() else None


def noised(scheduler, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    add = scheduler.scale_noise if isinstance(scheduler, FlowMatchEulerDiscreteScheduler) else None
    steps = []
    for i in range(len(scheduler.timesteps)):
        scheduler.set_begin_index(i)
        t = scheduler.timesteps[i : i + 1]
        steps.append(add(clean, t, noise) if add else scheduler.add_noise(clean, noise, t))
    scheduler.set_begin_index(0)
    return torch.stack(steps)


def begins(cls, config: dict, steps: int):
    """Where the loops of a case start: of some also in the middle, as image-to-image does."""
    usual = config.get("lower_order_final", True) and config.get("final_sigmas_type", "zero") == "zero"
    yield 0
    if steps in (10, 25) and usual and config.get("solver_type") in (None, "bh2", "midpoint"):
        yield steps // 2


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 4, 4, generator=generator)
    outputs = torch.randn(max(STEPS), 1, 4, 4, generator=generator)
    clean = torch.randn(1, 4, 4, generator=generator)
    tensors = {"sample": sample, "model_outputs": outputs, "clean": clean}
    listed, not_finite = {}, {}
    for i, (cls, config) in enumerate(cases()):
        for steps in STEPS:
            scheduler = cls.from_config(config)
            scheduler.set_timesteps(steps)
            scheduler.set_begin_index(0)
            short = {"U": "unipc", "D": "dpm", "F": "euler"}[cls.__name__[0]]
            shift, final = config.get("flow_shift", config.get("shift")), config.get("final_sigmas_type", "zero")
            schedule = f"{short}-{shift:g}-{final}-{steps}"
            for key in ("timesteps", "sigmas"):
                value = getattr(scheduler, key).clone()
                known = tensors.setdefault(f"{schedule}.{key}", value)
                assert torch.equal(known, value) and value.isfinite().all(), schedule
            if f"{schedule}.noised" not in tensors:
                tensors[f"{schedule}.noised"] = noised(scheduler, clean, sample)
            for begin in begins(cls, config, steps):
                scheduler = cls.from_config(config)
                scheduler.set_timesteps(steps)
                scheduler.set_begin_index(begin)
                samples = loop(scheduler, sample.clone(), outputs[begin:], begin)
                case = {"class": cls.__name__, "config": config, "steps": steps, "schedule": schedule}
                name = f"{short}-{i}-{steps}"
                if begin:
                    name, case = f"{name}-{begin}", case | {"begin": begin}
                if samples is not None:
                    listed[name] = case
                    tensors[f"{name}.samples"] = samples
                else:
                    not_finite[name] = case
    save_file(tensors, f"{OUT}.safetensors")
    lines = lambda group: ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in group.items())
    text = f'{{\n"cases": {{\n{lines(listed)}\n}},\n"not_finite": {{\n{lines(not_finite)}\n}}\n}}\n'
    json.loads(text)
    OUT.with_suffix(".json").write_text(text)
    print(f"{len(listed)} loops, {len(not_finite)} not finite, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
