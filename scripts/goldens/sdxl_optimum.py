"""A tiny random SDXL pipeline exported to ONNX by optimum, with its goldens: tests/golden/sdxl/optimum_export/.

    python scripts/goldens/sdxl_optimum.py OPTIMUM_CLI

OPTIMUM_CLI is the `optimum-cli` of a second environment, since optimum does not know transformers 5: made with
optimum-onnx 0.1.0, optimum 2.1.0, transformers 4.57.3, diffusers 0.35.2, tokenizers 0.22.1, torch 2.11.0, by
`optimum-cli export onnx --model DIR --task text-to-image OUT` (fp32, opset 18). This script's own environment is that
of sdxl_tiny.py with onnxruntime 1.31.1, which runs the exported graphs and compares each with the golden.

`golden.safetensors` and `request.json` are as in sdxl_tiny.py, computed by diffusers from the checkpoint that was
exported (not kept). The picture is no square and there are two of them, since sizes and batch are dynamic. Signatures:

    text_encoder    input_ids i64 -> last_hidden_state, pooler_output, hidden_states.{0..layers}
    text_encoder_2  input_ids i64 -> text_embeds, last_hidden_state, hidden_states.{0..layers}
    unet            sample, timestep (a scalar, f32), encoder_hidden_states, text_embeds, time_ids -> out_sample
    vae_decoder     latent_sample -> sample         vae_encoder     sample -> latent_parameters
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

import sdxl_common as common
import sdxl_tiny as tiny

CONFIGURATION = {
    "dtype": torch.float32,
    "unet": {
        "block_out_channels": [8, 16],
        "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2],
        "attention_head_dim": [1, 2],
        "addition_time_embed_dim": 8,
    },
    "vae": {"block_out_channels": [8, 8, 8, 12], "norm_num_groups": 4},
    "text_encoder": (16, 32, 2, 2),
    "text_encoder_2": (16, 32, 3, 2),
    "projection": 16,
    "legacy_eos": True,
    "scheduler": {},
    "force_zeros": True,
}
REQUEST = {
    "num_inference_steps": 4,
    "guidance_scale": 5.0,
    "width": 80,
    "height": 64,
    "num_images": 2,
    "prompt": "a paper boat on a lake at dawn",
    "negative_prompt": "storm",
}


def compare(folder: Path, golden: dict[str, torch.Tensor], scaling_factor: float, timestep: float) -> None:
    def run(name: str, **inputs):
        session = onnxruntime.InferenceSession(folder / name / "model.onnx", providers=["CPUExecutionProvider"])
        want = {i.name: i.type for i in session.get_inputs()}
        assert want.keys() == inputs.keys(), (name, want)
        numpy = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
        values = {k: np.asarray(v, dtype=numpy[want[k]]) for k, v in inputs.items()}
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, values)))

    def check(name: str, got: np.ndarray, want: torch.Tensor) -> None:
        error = np.linalg.norm(got - want.numpy()) / np.linalg.norm(want.numpy())
        print(f"  {name}: relative error {error:.1e}")
        assert got.shape == tuple(want.shape) and error < 1e-5, name

    hidden, pooled = {}, {}
    for prefix in ("", "negative_"):
        first = run("text_encoder", input_ids=golden[prefix + "token_ids"])
        second = run("text_encoder_2", input_ids=golden[prefix + "token_ids_2"])
        layers = [CONFIGURATION[key][2] for key in ("text_encoder", "text_encoder_2")]
        states = [one[f"hidden_states.{n - 1}"] for one, n in zip((first, second), layers)]
        hidden[prefix], pooled[prefix] = np.concatenate(states, -1), second["text_embeds"]
        check(prefix + "prompt_embeds", hidden[prefix], golden[prefix + "prompt_embeds"])
        check(prefix + "pooled_prompt_embeds", pooled[prefix], golden[prefix + "pooled_prompt_embeds"])

    count, size = REQUEST["num_images"], [REQUEST["height"], REQUEST["width"]]
    twice = lambda d: np.concatenate([np.repeat(d[p], count, 0) for p in ("negative_", "")])
    # The first scaled input: x * init_noise_sigma / sqrt(sigma^2 + 1) is x itself with the spacing "leading".
    out = run(
        "unet",
        sample=np.concatenate([golden["initial_latents"]] * 2),
        timestep=timestep,
        encoder_hidden_states=twice(hidden),
        text_embeds=twice(pooled),
        time_ids=[size + [0, 0] + size] * (2 * count),
    )["out_sample"]
    negative, positive = np.split(out, 2)
    check("noise_pred.0", negative + REQUEST["guidance_scale"] * (positive - negative), golden["noise_pred.0"])
    image = run("vae_decoder", latent_sample=golden["latents"] / scaling_factor)["sample"]
    check("image", image.clip(-1, 1), golden["image"])
    moments = run("vae_encoder", sample=golden["vae_image"])["latent_parameters"]
    check("vae_moments", moments, golden["vae_moments"])


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    out = tiny.OUT / "optimum_export"
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "tiny"
        tokenizers = [source / "tokenizer", source / "tokenizer_2"]
        write = lambda: [common.write_tokenizer(t, p, tiny.MERGES) for t, p in zip(tokenizers, (common.EOS, "!"))]
        write()
        pipe = tiny.build(CONFIGURATION, tokenizers)
        pipe.set_progress_bar_config(disable=True)
        tiny.check_tokenizers(pipe)
        pipe.save_pretrained(source)
        for folder in tokenizers:
            shutil.rmtree(folder)
        write()
        tiny.published_prefix(source / "text_encoder/model.safetensors")  # transformers 4 wants it.
        golden = tiny.golden(pipe, REQUEST)
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.argv[1], "export", "onnx", "--model", source, "--task", "text-to-image", out]
        subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)
        for path in out.rglob("*.json"):
            path.write_text(path.read_text().replace(str(source), "tiny"))
    pipe.scheduler.set_timesteps(REQUEST["num_inference_steps"])
    compare(out, golden, pipe.vae.config.scaling_factor, pipe.scheduler.timesteps[0].item())
    save_file(golden, out / "golden.safetensors")
    versions = "optimum-onnx 0.1.0, optimum 2.1.0, transformers 4.57.3, diffusers 0.35.2, torch 2.11.0"
    origin = f"scripts/goldens/sdxl_optimum.py, fp32 on CPU: {tiny.VERSIONS}; graphs by {versions}"
    common.write_json(out / "request.json", REQUEST | {"origin": origin})
    print(f"{sum(p.stat().st_size for p in out.rglob('*') if p.is_file()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
