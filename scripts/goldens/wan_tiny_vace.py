"""The tiny checkpoints that take pictures: VACE, image to video, first and last frame. A module of wan_tiny.py."""

import shutil
from pathlib import Path

import numpy
import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel, WanVACEPipeline, WanVACETransformer3DModel
from PIL import Image
from safetensors.torch import save_file
from transformers import T5Tokenizer

import wan_common as common
import wan_tiny as tiny
import wan_tiny_parts as parts

VACE = {
    "num_attention_heads": 3,
    "attention_head_dim": 24,
    "in_channels": 16,
    "out_channels": 16,
    "freq_dim": 20,
    "ffn_dim": 56,
    "num_layers": 3,
    "cross_attn_norm": True,
    "eps": 1e-6,
    "vace_layers": [0, 2],
    "vace_in_channels": 96,
}
TEXT = {"d_model": 24, "d_kv": 12, "num_heads": 2, "num_layers": 2, "d_ff": 32}
VAE = {"base_dim": 3, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2}
PICTURES = {
    "num_attention_heads": 2,
    "attention_head_dim": 20,
    "in_channels": 36,
    "out_channels": 16,
    "freq_dim": 16,
    "ffn_dim": 48,
    "num_layers": 2,
    "cross_attn_norm": True,
    "eps": 1e-6,
    "text_dim": 24,
    "image_dim": 28,
    "added_kv_proj_dim": 40,  # The width of the model, as published.
}
# What `conditioning_latents` are made of, and can be seen in them.
LEFT_OUT = ("video_in", "mask_in", "control_latents", "control_mask", "reference_canvas.0", "sigmas")
ORIGIN = f"scripts/goldens/wan_tiny.py, fp32 on CPU: {tiny.VERSIONS}"


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth colours with some noise."""
    draw = numpy.random.default_rng(seed)
    rows, columns = numpy.mgrid[0:height, 0:width]
    waves = [numpy.sin(columns / (5 + c) + c) * numpy.cos(rows / (4 + c)) for c in range(3)]
    values = 127 + 90 * numpy.stack(waves, -1) + draw.normal(0, 12, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(numpy.uint8))


def bytes_of(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(numpy.array(image.convert("RGB")))


def vace() -> None:
    folder = common.OUT / "vace"
    shutil.rmtree(folder, ignore_errors=True)
    common.write_tokenizer(folder / "tokenizer")
    generator = torch.Generator().manual_seed(0)
    encoder = tiny.text_encoder(TEXT)
    transformer = WanVACETransformer3DModel(text_dim=TEXT["d_model"], **VACE)
    vae = tiny.vae_of(VAE, True, generator)
    for model in (encoder, transformer, vae):
        model.eval().requires_grad_(False)
        common.randomize(model, generator)
    control = torch.randn(1, 96, 2, 4, 4, generator=generator)
    call = lambda *a: transformer(*a, control_hidden_states=control).sample
    tiny.calibrate(transformer, vae, TEXT["d_model"], generator, call)
    for model in (encoder, transformer, vae):
        model.to(torch.bfloat16)
    tokenizer = T5Tokenizer.from_pretrained(folder / "tokenizer")
    pipe = WanVACEPipeline(tokenizer, encoder, vae, UniPCMultistepScheduler(**tiny.SCHEDULER), transformer)
    parts.save(pipe, folder, None)
    again = WanVACEPipeline.from_pretrained(folder, dtype=torch.float32)
    again.set_progress_bar_config(disable=True)
    parts.same_weights(pipe, again, ("text_encoder", "transformer", "vae"))

    request = {
        "prompt": "a red fox runs through the snow at golden hour",
        "negative_prompt": "blurry, low quality, distorted, watermark, text",
        "height": 32,
        "width": 48,
        "num_frames": 5,
        "num_inference_steps": 4,
        "guidance_scale": 5.0,
        "max_sequence_length": 512,
    }
    tensors = parts.text(again, request)
    tensors |= parts.prefixed("start", start(again, request))
    tensors |= parts.prefixed("reference", reference(again, request))
    tensors |= alone(again.transformer)
    scales = {"start.conditioning_scale": 1.0, "reference.conditioning_scale": [0.75, 0.5]}
    parts.save_golden(tensors, folder, request | scales, ORIGIN)
    modes(again, request, folder)


def modes(pipe, request: dict, folder: Path) -> None:
    """modes.safetensors: runs with the last, the first and the last frame (9 frames, of which 7 or 8 are made), and with
    a reference picture at the full strength of control (5 frames). Of the last, `latents` are the video's own."""
    longer = request | {"num_frames": 9}
    tensors = parts.prefixed("end", given(pipe, longer, 9, {8: 10}))
    tensors |= parts.prefixed("both", given(pipe, longer, 11, {0: 12, 8: 13}))
    image = picture(40, 56, 14)
    single = conditioned(pipe, request, 15, reference_images=[image]) | {"reference_image": bytes_of(image)}
    single["latents"] = single["latents"][:, :, 1:]
    tensors |= parts.prefixed("single", single)
    kept = {k: v.detach().clone().contiguous() for k, v in tensors.items() if not k.endswith(LEFT_OUT)}
    assert all(v.isfinite().all() for v in kept.values())
    save_file(kept, folder / "modes.safetensors", metadata={"origin": ORIGIN})


def conditioned(pipe, request: dict, seed: int, **more) -> dict[str, torch.Tensor]:
    """The run, and what the pipeline prepares for it."""
    out, prepare = {}, {}
    for name in ("preprocess_conditions", "prepare_video_latents", "prepare_masks"):
        prepare[name] = getattr(pipe, name)

        def kept(*args, name=name, **kwargs):
            result = prepare[name](*args, **kwargs)
            if name == "preprocess_conditions":
                out["video_in"], out["mask_in"] = result[0].clone(), result[1].clone()
                for i, canvas in enumerate(result[2][0]):
                    out[f"reference_canvas.{i}"] = canvas.clone()
            else:
                out["control_latents" if name == "prepare_video_latents" else "control_mask"] = result.clone()
            return result

        setattr(pipe, name, kept)
    references = len(more.get("reference_images") or [])
    frames = (request["num_frames"] - 1) // 4 + 1 + references
    shape = (1, 16, frames, request["height"] // 8, request["width"] // 8)
    initial = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    out["initial_latents"] = initial
    result = parts.run(pipe, UniPCMultistepScheduler(**tiny.SCHEDULER), request, initial, **more)
    for name, method in prepare.items():
        setattr(pipe, name, method)
    out["conditioning_latents"] = torch.cat([out["control_latents"], out["control_mask"]], 1)  # [1, 96, F', h, w]
    return out | result


def start(pipe, request: dict) -> dict[str, torch.Tensor]:
    out = given(pipe, request, 4, {0: 3})
    return out | {"first_frame": out.pop("frame.0")}


def given(pipe, request: dict, seed: int, seeds: dict[int, int]) -> dict[str, torch.Tensor]:
    """Frames that are given (their mask black), each a picture of its seed; the others are the grey of 128 (their mask
    white)."""
    size, count = (request["width"], request["height"]), request["num_frames"]
    pictures = {frame: picture(*size, of) for frame, of in seeds.items()}
    video = [pictures.get(i) or Image.new("RGB", size, (128, 128, 128)) for i in range(count)]
    mask = [Image.new("L", size, 0 if i in pictures else 255) for i in range(count)]
    out = conditioned(pipe, request, seed, video=video, mask=mask, conditioning_scale=1.0)
    return out | {f"frame.{frame}": bytes_of(image) for frame, image in pictures.items()}


def reference(pipe, request: dict) -> dict[str, torch.Tensor]:
    """No video: black pictures, all to be made; one reference picture of another shape, set upon white."""
    image = picture(40, 56, 5)
    out = conditioned(pipe, request, 6, reference_images=[image], conditioning_scale=[0.75, 0.5])
    return out | {"reference_image": bytes_of(image)}


def alone(model) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    out = {
        "transformer.0.hidden_states": draw(1, 16, 3, 4, 6),
        "transformer.0.timestep": torch.tensor([733]),
        "transformer.0.encoder_hidden_states": draw(1, 512, TEXT["d_model"]),
        "transformer.0.control_hidden_states": draw(1, 96, 3, 4, 6),
        "transformer.0.control_hidden_states_scale": torch.tensor([1.25, -0.5]),
    }
    keys = {k.removeprefix("transformer.0."): v for k, v in out.items()}
    return out | {"transformer.0.sample": model(**keys).sample}


def pictures(name: str, tokens: int, pos_embed_seq_len: int | None) -> None:
    folder = common.OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(8)
    model = WanTransformer3DModel(**PICTURES, pos_embed_seq_len=pos_embed_seq_len).eval().requires_grad_(False)
    common.randomize(model, generator)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    # Of two frames the tokens come as two rows of a batch, and the model puts them behind one another.
    rows = 1 if pos_embed_seq_len is None else 2
    out = {
        "transformer.0.hidden_states": draw(1, 36, 3, 4, 6),
        "transformer.0.timestep": torch.tensor([612]),
        "transformer.0.encoder_hidden_states": draw(1, 512, PICTURES["text_dim"]),
        "transformer.0.encoder_hidden_states_image": draw(rows, tokens, PICTURES["image_dim"]),
    }
    keys = {k.removeprefix("transformer.0."): v for k, v in out.items()}
    model.proj_out.weight.data *= 0.7 / model(**keys).sample.std()
    common.round_to(model, torch.bfloat16)
    out["transformer.0.sample"] = model(**keys).sample
    model.to(torch.bfloat16).save_pretrained(folder / "transformer")
    parts.save_golden(out, folder, {}, ORIGIN)
    print(f"  sample {out['transformer.0.sample'].std():.2f}")


def i2v() -> None:
    pictures("i2v", 7, None)


def flf2v() -> None:
    pictures("flf2v", 5, 10)
