"""Writes the lists of prompts that the demo models are scored on, and what the scorer itself is tested on, into
`score/prompts` and `score/tests/fixtures`. Seeds are fixed: a second run writes the same files.

    python examples/demo-models/prompts.py        # torch 2.11.0, Pillow
"""

import json
import random
from pathlib import Path

from PIL import Image

import world

HERE = Path(__file__).parent / "score"
TRAINED = [(s, c) for s in world.SHAPES for c in world.COLOURS if (s, c) not in world.HELD_OUT]


def combination(thing):
    return {"shape": thing.shape, "colour": thing.colour}


def scene_with(rng, wanted, video, fits=lambda scene: True):
    """A scene whose first thing has the shape and colour that are wanted."""
    held_out = wanted in world.HELD_OUT
    while True:
        scene = world.draw_scene(rng, video, held_out)
        first = (scene.things[0].shape, scene.things[0].colour)
        # Nobody asks for the same thing twice.
        others = {(thing.shape, thing.colour) for thing in scene.things}
        if first == wanted and len(others) == len(scene.things) and fits(scene):
            return scene


def relation(prompt):
    """How the first thing stands to the second, where the caption says it: world.py puts it on the left, or above."""
    if " to the left of " in prompt or " to the right of " in prompt:
        return "left"
    return "above" if " above " in prompt or " below " in prompt else "any"


def images():
    rng = random.Random(61)
    trained = rng.sample(TRAINED, 40)
    held_out = sorted(world.HELD_OUT) * 2
    entries = []
    for i, wanted in enumerate(trained + held_out):
        # Every third trained picture and every fourth other has two things.
        two = i % 3 == 2 if i < 40 else i % 4 == 3
        scene = scene_with(rng, wanted, False, lambda scene: (len(scene.things) == 2) == two)
        prompt = world.caption(scene, rng)
        entries.append({"prompt": prompt, "seed": 100 + i, "held_out": wanted in world.HELD_OUT,
                        "things": [combination(thing) for thing in scene.things], "relation": relation(prompt)})
    return entries


def clips():
    rng = random.Random(62)
    entries = []
    combinations = rng.sample(TRAINED, len(TRAINED))
    motions = [motion for motion in world.MOTIONS for _ in range(4)] + ["left", "right", "up", "down", "growing",
                                                                       "turning", "still", "left"]
    held_out = sorted(world.HELD_OUT)
    for i, motion in enumerate(motions):
        source = combinations if i < 28 else held_out
        wanted = next(c for c in source if motion != "turning" or c[0] not in world.ROUND)
        source.remove(wanted)
        scene = scene_with(rng, wanted, True, lambda scene: scene.motion == motion)
        entries.append({"prompt": world.caption(scene, rng), "seed": 200 + i, "held_out": wanted in world.HELD_OUT,
                        "thing": combination(scene.things[0]), "motion": motion})
    return entries


def references():
    rng = random.Random(63)
    entries = []
    combinations = rng.sample([c for c in TRAINED if c[0] not in world.ROUND], 12)
    for i, wanted in enumerate(combinations):
        motion = world.MOTIONS[1:][i % 6]
        scene = scene_with(rng, wanted, True, lambda scene: scene.motion == motion)
        thing, path = scene.things[0], scene.path
        start = {"x": thing.x, "y": thing.y, "radius": thing.radius, "angle": thing.angle}
        ways = {"x": "dx", "y": "dy", "radius": "grow", "angle": "turn"}
        end = {name: value + path.get(ways[name], 0.0) for name, value in start.items()}
        rounded = lambda place: {name: round(value, 4) for name, value in place.items()}
        entries.append({"prompt": world.caption(scene, rng), "seed": 300 + i, "held_out": False,
                        "ends": ["start", "end", "both"][i // 2 % 3], "thing": combination(thing), "motion": motion,
                        "background": scene.background, "start": rounded(start), "end": rounded(end)})
    return entries


def terse(scene, rng):
    """The least that people type."""
    text = " and ".join(" ".join(w for w in (t.size, t.colour, t.shape) if w) for t in scene.things)
    return text if scene.motion == "still" else f"{text} {world.motion_words(scene.motion, rng)}"


def enhance():
    rng = random.Random(64)
    entries = []
    for i in range(60):
        video, held_out = i % 2 == 1, i % 6 == 5 or i % 12 == 2
        wanted = rng.choice(sorted(world.HELD_OUT) if held_out else TRAINED)
        scene = scene_with(rng, wanted, video)
        prompt = terse(scene, rng) if i % 4 < 2 else world.caption(scene, rng)
        entries.append({"prompt": prompt, "seed": 400 + i, "held_out": held_out,
                        "target": "video" if video else "image",
                        "things": [combination(thing) for thing in scene.things], "motion": scene.motion})
    return entries


def fixtures(side=128, columns=6):
    """Scenes with everything they are drawn from, and the pictures side by side."""
    rng = random.Random(65)
    scenes = [scene_with(rng, rng.choice([c for c in TRAINED if c[0] == shape]), False,
                         lambda scene: len(scene.things) == 1) for shape in world.SHAPES * 2]
    scenes += [scene_with(rng, rng.choice(TRAINED), False, lambda scene: len(scene.things) == 2) for _ in range(8)]
    for scene in scenes[8:16]:
        scene.things[0].angle = round(rng.uniform(-3, 3), 4)
    frames = world.render(world.tensors(scenes), 1, side, side)[:, 0]
    pixels = ((frames + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    sheet = Image.new("RGB", (side * columns, side * (len(scenes) // columns)))
    for i, picture in enumerate(pixels):
        sheet.paste(Image.fromarray(picture), (side * (i % columns), side * (i // columns)))
    values = ("x", "y", "radius", "angle")
    return sheet, [{"background": scene.background,
                    "things": [{**combination(thing), **{name: getattr(thing, name) for name in values}}
                               for thing in scene.things]} for scene in scenes]


def write(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")
    print(path.relative_to(HERE), len(entries))


if __name__ == "__main__":
    for name, entries in [("images", images()), ("clips", clips()), ("references", references()),
                          ("enhance", enhance())]:
        write(HERE / "prompts" / f"{name}.json", entries)
    sheet, scenes = fixtures()
    write(HERE / "tests" / "fixtures" / "scenes.json", scenes)
    sheet.save(HERE / "tests" / "fixtures" / "scenes.png", optimize=True)
