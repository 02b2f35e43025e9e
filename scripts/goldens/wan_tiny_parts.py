"""What is saved of a tiny checkpoint and what is kept of a run. A module of wan_tiny.py, not a command."""

import html
import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import wan_common as common


def prefixed(name: str, tensors: dict) -> dict:
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def statistics(vae) -> tuple[torch.Tensor, torch.Tensor]:
    view = lambda values: torch.tensor(values).view(1, -1, 1, 1, 1)
    return view(vae.config.latents_mean), 1.0 / view(vae.config.latents_std)


def denormalize(vae, latents: torch.Tensor) -> torch.Tensor:
    mean, inverse = statistics(vae)
    return latents / inverse + mean


def save(pipe, folder: Path, shards: tuple[str, str] | None) -> None:
    """As `save_pretrained` does it; the tokenizer by hand, and the classes under their published names."""
    pipe.save_pretrained(folder)
    if shards:
        for name, size in zip(("transformer", "text_encoder"), shards):
            shutil.rmtree(folder / name)
            getattr(pipe, name).save_pretrained(folder / name, max_shard_size=size)
            assert len(list((folder / name).glob("*-of-*.safetensors"))) >= 2, name
    shutil.rmtree(folder / "tokenizer")
    common.write_tokenizer(folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5TokenizerFast"]
    common.write_json(folder / "model_index.json", index)
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        common.write_json(path, config)


def same_weights(saved, read, names) -> None:
    for name in names:
        a, b = getattr(saved, name).state_dict(), getattr(read, name).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k].float(), b[k]) for k in a), name


def save_golden(tensors: dict, folder: Path, request: dict, origin: str) -> None:
    out = {}
    for name, tensor in tensors.items():
        assert tensor.isfinite().all() and tensor.dtype in (torch.float32, torch.int64, torch.uint8), name
        out[name] = tensor.detach().clone().contiguous()
    save_file(out, folder / "golden.safetensors")
    common.write_json(folder / "request.json", request | {"origin": origin})


def clean_without_ftfy(text: str) -> str:
    """What `prompt_clean` is where ftfy is not installed."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text)).strip()).strip()


def text(pipe, request: dict) -> dict[str, torch.Tensor]:
    """Embeddings of the prompts [1, 512, D], zero beyond the tokens, and the ids without padding."""
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    out, length = {}, request["max_sequence_length"]
    embeds = pipe.encode_prompt(
        request["prompt"], negative_prompt=request["negative_prompt"], max_sequence_length=length
    )
    raw = common_reader(pipe)
    for prefix, prompt, embed in zip(("", "negative_"), (request["prompt"], request["negative_prompt"]), embeds):
        cleaned = prompt_clean(prompt or "")
        ids = pipe.tokenizer([cleaned], return_tensors="pt").input_ids
        assert ids.tolist()[0] == raw(cleaned) and not {2, 3} & set(ids.tolist()[0]), "out of vocabulary"
        count = ids.shape[1]
        assert embed[:, count:].abs().max() == 0 and embed[:, count - 1].abs().max() > 0
        # Encoding the real length alone gives the same: padding is masked out.
        alone = pipe.text_encoder(ids).last_hidden_state
        assert torch.allclose(alone, embed[:, :count], atol=1e-5), prefix
        out |= {f"{prefix}token_ids": ids, f"{prefix}prompt_embeds": embed}
    print(f"  tokens {out['token_ids'].shape[1]} and {out['negative_token_ids'].shape[1]}, "
          f"embeds {out['prompt_embeds'][:, : out['token_ids'].shape[1]].std():.2f}")
    return out


def common_reader(pipe):
    import tempfile

    import tokenizers

    with tempfile.TemporaryDirectory() as folder:
        common.write_tokenizer(Path(folder))
        reader = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    return lambda cleaned: reader.encode(cleaned).ids


def run(pipe, scheduler, request: dict, initial: torch.Tensor, **more) -> dict[str, torch.Tensor]:
    """Runs the pipeline itself and keeps what passes through it; the video [F, 3, H, W]."""
    out, step, own = {}, scheduler.step, pipe.scheduler
    steps = request["num_inference_steps"]

    def kept_step(model_output, *args, **kwargs):
        out[f"noise_pred.{sum(k.startswith('noise_pred') for k in out)}"] = model_output.clone()
        return step(model_output, *args, **kwargs)

    def kept_latents(_pipe, i, _t, kwargs):
        out[f"latents.{i}"] = kwargs["latents"].clone()
        return {}

    pipe.scheduler, scheduler.step = scheduler, kept_step
    keys = request | more
    latents = pipe(**keys, latents=initial.clone(), output_type="latent", callback_on_step_end=kept_latents).frames
    out["timesteps"], out["sigmas"] = scheduler.timesteps.clone(), scheduler.sigmas.clone()
    scheduler.step = step
    frames = pipe(**keys, latents=initial.clone(), output_type="pt").frames[0]
    pipe.scheduler = own
    assert torch.equal(latents, out[f"latents.{steps - 1}"])
    references = len(more.get("reference_images") or [])
    video = pipe.vae.decode(denormalize(pipe.vae, latents[:, :, references:])).sample
    out["latents"], out["video"] = latents, video[0].permute(1, 0, 2, 3)
    assert torch.allclose(frames, out["video"] / 2 + 0.5, atol=1e-6)
    spread = [round(out[f"noise_pred.{i}"].std().item(), 2) for i in range(steps)]
    clipped = 100 * (video.abs() == 1).float().mean().item()
    print(f"  {type(scheduler).__name__}: noise_pred {spread}, latents {latents.std():.2f}, "
          f"video {video.std():.2f}, {clipped:.1f} % clipped")
    return out


def vae_round(vae, size: tuple[int, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Encoding of 1, 5, 17 frames: the mean and the same normalized; decoding of 1, 2, 5 latent frames."""
    out, (height, width) = {}, size
    mean, inverse = statistics(vae)
    for frames in (1, 5, 17):
        video = torch.rand(1, 3, frames, height, width, generator=generator) * 2 - 1
        latent = vae.encode(video).latent_dist.mode()
        out[f"vae_encode.{frames}.video"], out[f"vae_encode.{frames}.mean"] = video, latent
        out[f"vae_encode.{frames}.latents"] = (latent - mean) * inverse
        assert latent.shape[2] == (frames - 1) // 4 + 1
    for frames in (1, 2, 5):
        latents = torch.randn(1, vae.config.z_dim, frames, height // 8, width // 8, generator=generator)
        out[f"vae_decode.{frames}.latents"] = latents
        video = vae.decode(denormalize(vae, latents)).sample
        out[f"vae_decode.{frames}.video"] = video
        assert video.shape[2:] == (4 * frames - 3, height, width)
    print(f"  vae: mean {latent.std():.2f}, video {video.std():.2f}")
    return out


def transformer_alone(model, generator: torch.Generator, debug: bool) -> dict[str, torch.Tensor]:
    """Two sizes, two timesteps; the text with a few rows and zeros after them, as prompts are."""
    out, (_, rows, columns) = {}, model.config.patch_size
    context = torch.zeros(1, 512, model.config.text_dim)
    context[:, :20] = torch.randn(1, 20, model.config.text_dim, generator=generator)
    out["transformer.encoder_hidden_states"] = context
    sizes = (1, 3 * rows, 2 * columns), (3, 2 * rows, 5 * columns)
    for i, (size, t) in enumerate(zip(sizes, (999, 247))):
        hidden = torch.randn(1, model.config.in_channels, *size, generator=generator)
        key = f"transformer.{i}"
        out[f"{key}.hidden_states"], out[f"{key}.timestep"] = hidden, torch.tensor([t])
        if debug and i == 1:
            with Kept(model) as kept:
                out[f"{key}.sample"] = model(hidden, torch.tensor([t]), context).sample
            out |= prefixed("debug", kept.tensors)
        else:
            out[f"{key}.sample"] = model(hidden, torch.tensor([t]), context).sample
    return out


class Kept:
    """What goes through a transformer while the block runs, by names of the model's parts."""

    def __init__(self, model):
        self.model, self.tensors, self.hooks = model, {}, []

    def __enter__(self):
        embedder, block = self.model.condition_embedder, self.model.blocks[0]
        names = {
            "timesteps_proj": embedder.timesteps_proj,  # [1, freq_dim], cosines before sines
            "temb": embedder.time_embedder,  # [1, D]
            "timestep_proj": embedder.time_proj,  # [1, 6 D]
            "text": embedder.text_embedder,  # [1, 512, D]
            "patch_embedding": self.model.patch_embedding,  # [1, D, F, H / 2, W / 2]
            "block.0.norm1": block.norm1,
            "block.0.attn1": block.attn1,
            "block.0.attn2": block.attn2,
            "block.0.ffn": block.ffn,
            "block.0": block,  # [1, L, D]
            "rope": self.model.rope,  # Two: cosines and sines, [1, L, 1, head], each value twice
            "proj_out": self.model.proj_out,  # [1, L, 4 C], before the patches are put together
        }
        for name, module in names.items():
            self.hooks.append(module.register_forward_hook(self.keep(name)))
        return self

    def keep(self, name):
        def hook(_module, _inputs, output):
            if isinstance(output, tuple):
                self.tensors |= {f"{name}.cos": output[0], f"{name}.sin": output[1]}
            else:
                self.tensors[name] = output.clone()

        return hook

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()
