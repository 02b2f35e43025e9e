"""Goldens of ourvidz-core's Euler schedulers: whole schedules and whole loops of diffusers.

    python scripts/goldens/scheduler_euler.py    # needs torch, diffusers, safetensors; made with diffusers 0.42.1

Writes ourvidz-core/tests/golden/scheduler_euler.safetensors. Its metadata entry "cases" is a JSON object, name ->
[scheduler_config.json, steps]; the case's tensors are
    {name}.timesteps, {name}.sigmas, {name}.init_noise_sigma [1],
    {name}.samples [steps, 16]: the sample after every step,
    {name}.noised [3, 16]: add_noise at the first, the middle (steps // 2) and the last step, of the clean sample
        (i - 8) / 8 and the noise (i % 5 - 2) / 2.
The model is closed-form, model_output = scaled_input * t / (t + 1), fed like a pipeline does: scale_model_input on
the model's input only. The first sample is deterministic: ((i - 8) / 8) * init_noise_sigma for i in 0..16.
Ancestral noise comes from a CPU generator with seed 7.
"""

import itertools
import json
from pathlib import Path

import torch
from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler
from safetensors.torch import save_file

OUT = Path(__file__).parents[2] / "ourvidz-core/tests/golden/scheduler_euler.safetensors"
SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SPACINGS = ["linspace", "leading", "trailing"]
PREDICTIONS = ["epsilon", "v_prediction"]
STEPS = [1, 4, 25]


def cases():
    for spacing, prediction, steps in itertools.product(SPACINGS, PREDICTIONS, STEPS):
        options = {**SDXL, "timestep_spacing": spacing, "prediction_type": prediction}
        yield EulerDiscreteScheduler, f"{spacing}-{prediction}", steps, options
        yield EulerAncestralDiscreteScheduler, f"ancestral-{spacing}-{prediction}", steps, options
    more = {
        "defaults": {},
        "sdxl-base": {**SDXL, "timestep_spacing": "leading", "interpolation_type": "linear"},
        "sample": {**SDXL, "prediction_type": "sample"},
        "cosine": {"beta_schedule": "squaredcos_cap_v2"},
        "cosine-v": {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
        "log-linear": {**SDXL, "interpolation_type": "log_linear"},
        "log-linear-karras": {**SDXL, "interpolation_type": "log_linear", "use_karras_sigmas": True},
        "karras": {**SDXL, "use_karras_sigmas": True},
        "karras-leading": {**SDXL, "use_karras_sigmas": True, "timestep_spacing": "leading"},
        "karras-range": {**SDXL, "use_karras_sigmas": True, "sigma_min": 0.002, "sigma_max": 80.0},
        "exponential": {**SDXL, "use_exponential_sigmas": True},
        "exponential-range": {**SDXL, "use_exponential_sigmas": True, "sigma_min": 0.01, "sigma_max": 20.0},
        "final-sigma-min": {**SDXL, "final_sigmas_type": "sigma_min"},
        "continuous-epsilon": {**SDXL, "timestep_type": "continuous"},
        "continuous-v": {**SDXL, "timestep_type": "continuous", "prediction_type": "v_prediction"},
        # As stable-video-diffusion-img2vid: EDM's noise levels over continuous timesteps.
        "continuous-v-karras": {
            **SDXL,
            "timestep_type": "continuous",
            "prediction_type": "v_prediction",
            "use_karras_sigmas": True,
            "sigma_min": 0.002,
            "sigma_max": 700.0,
            "final_sigmas_type": "sigma_min",
        },
        "zero-snr": {
            **SDXL,
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
            "prediction_type": "v_prediction",
        },
        "zero-snr-karras": {**SDXL, "rescale_betas_zero_snr": True, "use_karras_sigmas": True},
        "trained": {
            "trained_betas": [0.001 + 0.0004 * i for i in range(50)],
            "num_train_timesteps": 50,
        },
        "offset-past-end": {**SDXL, "num_train_timesteps": 30, "timestep_spacing": "leading", "steps_offset": 9},
    }
    for (name, options), steps in itertools.product(more.items(), STEPS):
        yield EulerDiscreteScheduler, name, steps, options
    # 1000 / 16 = 62.5: timesteps halfway between two integers round to the even one.
    yield EulerDiscreteScheduler, "trailing-ties", 16, {**SDXL, "timestep_spacing": "trailing"}
    yield EulerDiscreteScheduler, "sdxl-base", 1000, more["sdxl-base"]
    yield EulerAncestralDiscreteScheduler, "ancestral-defaults", 25, {}
    yield EulerAncestralDiscreteScheduler, "ancestral-zero-snr", 25, more["zero-snr"]
    yield EulerAncestralDiscreteScheduler, "ancestral-turbo", 4, {**SDXL, "timestep_spacing": "trailing"}


def loop(scheduler, ancestral: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    sample = (torch.arange(16) - 8) / 8 * scheduler.init_noise_sigma
    samples = []
    for t in scheduler.timesteps:
        model_output = scheduler.scale_model_input(sample, t) * t / (t + 1)
        extra = {"generator": generator} if ancestral else {}
        sample = scheduler.step(model_output, t, sample, **extra).prev_sample
        samples.append(sample)
    # Of a long loop the first and the last steps say everything.
    if len(samples) > 100:
        samples = samples[:4] + samples[-4:]
    return torch.stack(samples)


def noised(scheduler) -> torch.Tensor:
    """`add_noise` at the first, the middle and the last step."""
    clean, noise = (torch.arange(16) - 8) / 8, (torch.arange(16) % 5 - 2) / 2
    steps = len(scheduler.timesteps)
    noised = []
    for i in (0, steps // 2, steps - 1):
        scheduler.set_begin_index(i)
        noised.append(scheduler.add_noise(clean, noise, scheduler.timesteps[i : i + 1]))
    return torch.stack(noised)


def main() -> None:
    tensors, configs = {}, {}
    for cls, label, steps, options in cases():
        name = f"{label}-{steps}"
        scheduler = cls.from_config({"_class_name": cls.__name__, **options})
        scheduler.set_timesteps(steps)
        # The repetition of a timestep in a short schedule would make diffusers look up a wrong index.
        scheduler.set_begin_index(0)
        tensors[f"{name}.timesteps"] = scheduler.timesteps.clone()
        tensors[f"{name}.sigmas"] = scheduler.sigmas.clone()
        tensors[f"{name}.init_noise_sigma"] = torch.as_tensor(scheduler.init_noise_sigma).reshape(1).clone()
        tensors[f"{name}.noised"] = noised(scheduler)
        scheduler.set_begin_index(0)
        tensors[f"{name}.samples"] = loop(scheduler, cls is EulerAncestralDiscreteScheduler)
        configs[name] = [{"_class_name": cls.__name__, **options}, steps]
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32, (name, tensor.dtype)
        assert tensor.isfinite().all(), name
    save_file(tensors, OUT, metadata={"cases": json.dumps(configs)})


if __name__ == "__main__":
    main()
