"""The world of the demo models: scenes of one or two shapes, drawn by formulas, with captions that say what is in them.

A module, not a command; torch 2.11.0. A scene is drawn from a seeded `random.Random`; `render` draws many at once on
any device.
"""

import math
import random
from dataclasses import dataclass, field

import torch

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent"]
COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (245, 220, 40),
    "green": (40, 170, 70),
    "cyan": (40, 200, 215),
    "blue": (45, 85, 220),
    "purple": (135, 60, 190),
    "pink": (245, 110, 180),
}
BACKGROUNDS = {
    "white": (244, 244, 240),
    "grey": (150, 150, 150),
    "black": (24, 24, 26),
    "beige": (228, 212, 180),
    "navy": (22, 30, 66),
}
SIZES = {"small": (0.22, 0.28), "": (0.34, 0.42), "large": (0.52, 0.62)}  # Radius in halves of the shorter side.
PLACES = {  # Centre in halves of each side from the middle; x to the right, y down.
    "in the centre": (0.0, 0.0),
    "on the left": (-1.0, 0.0),
    "on the right": (1.0, 0.0),
    "at the top": (0.0, -1.0),
    "at the bottom": (0.0, 1.0),
    "in the top left corner": (-1.0, -1.0),
    "in the top right corner": (1.0, -1.0),
    "in the bottom left corner": (-1.0, 1.0),
    "in the bottom right corner": (1.0, 1.0),
}
MOTIONS = ["still", "left", "right", "up", "down", "growing", "turning"]
ROUND = ["circle", "ring"]  # These cannot be seen turning.
HELD_OUT = {(shape, list(COLOURS)[(3 * i + 1) % len(COLOURS)]) for i, shape in enumerate(SHAPES)}


@dataclass
class Thing:
    shape: str
    colour: str
    size: str  # A key of SIZES.
    x: float  # Of the centre, in halves of the width, from the middle of the frame.
    y: float
    radius: float  # In halves of the shorter side.
    angle: float = 0.0  # Radians, clockwise.
    place: str = ""  # A key of PLACES, where the caption may name it.


@dataclass
class Scene:
    things: list[Thing]
    background: tuple[str, str]  # At the top and at the bottom; twice the same where it is plain.
    motion: str = "still"
    relation: str = ""  # "beside" or "above", of two things.
    path: dict = field(default_factory=dict)  # How far the first thing goes: dx, dy, grow, turn over the whole clip.


def draw_scene(rng: random.Random, video: bool, held_out: bool = False) -> Scene:
    """A scene to train with; with `held_out` one with a combination of shape and colour that training never has."""
    first, second = pick(rng, held_out), pick(rng, False)
    background = plain = rng.choice(list(BACKGROUNDS))
    if rng.random() < 0.35:
        background = rng.choice([name for name in BACKGROUNDS if name != plain])
    motion = rng.choice(MOTIONS) if video else "still"
    if motion == "turning" and first[0] in ROUND:
        motion = rng.choice(MOTIONS[:6])
    scene = Scene([], (plain, background), motion)
    if not video and rng.random() < 0.35:
        scene.relation = rng.choice(["beside", "beside", "above"])
        for side, chosen in zip((-1, 1), (first, second)):
            near, far = 0.46 + rng.uniform(-0.04, 0.04), rng.uniform(-0.08, 0.08)
            x, y = (side * near, far) if scene.relation == "beside" else (far, side * near)
            scene.things.append(Thing(*chosen, "", x, y, rng.uniform(0.30, 0.36), rng.uniform(-0.1, 0.1)))
        return scene
    size = rng.choice(["small", "", "", "large"])
    radius = rng.uniform(*SIZES[size])
    place = rng.choice(list(PLACES)) if rng.random() < 0.5 and size != "large" else "in the centre"
    x, y = (0.5 * c + rng.uniform(-0.06, 0.06) for c in PLACES[place])
    thing = Thing(*first, size, x, y, radius, rng.uniform(-0.1, 0.1), place)
    scene.things.append(thing)
    if motion in ("left", "right", "up", "down"):
        sign = 1 if motion in ("right", "down") else -1
        way = rng.uniform(0.75, 0.95)
        thing.place = "in the centre"
        thing.size, thing.radius = ("", min(radius, 0.42)) if size == "large" else (size, radius)
        along, across = -sign * way / 2 + rng.uniform(-0.04, 0.04), rng.uniform(-0.1, 0.1)
        thing.x, thing.y = (along, across) if motion in ("left", "right") else (across, along)
        scene.path = {"dx" if motion in ("left", "right") else "dy": sign * way}
    elif motion == "growing":
        thing.place, thing.size = "in the centre", ""
        thing.x, thing.y, thing.radius = rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06), rng.uniform(0.22, 0.28)
        scene.path = {"grow": rng.uniform(0.3, 0.36)}
    elif motion == "turning":
        thing.radius = max(radius, 0.34)
        scene.path = {"turn": rng.uniform(0.55, 0.65) * math.pi}
    return scene


def draw_close_up(rng: random.Random, frames: int) -> Scene:
    """What a window of 64x64 sees: half of it is shape. A VAE learns colours and edges from it several times as fast as
    from whole frames, most of which is background. Of clips (`frames` > 1) some are windows of 480x832, where things are
    larger and pass three times as fast as in 256x256."""
    plain = background = rng.choice(list(BACKGROUNDS))
    if rng.random() < 0.35:
        background = rng.choice(list(BACKGROUNDS))
    scene = Scene([], (plain, background))
    large = frames > 1 and rng.random() < 0.4
    smallest, largest = (1.6, 4.7) if large else (0.5, 2.4)
    for _ in range(rng.choice([1, 1, 2])):
        x, y, radius, angle = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(smallest, largest), rng.uniform(-0.2, 0.2)
        reach = 0.9 * radius if large else 1.2  # Of a large thing, too, an edge is inside.
        scene.things.append(Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), "", reach * x, reach * y, radius, angle))
    if frames > 1 and rng.random() < 0.8:
        # In 17 frames; in fewer the same speed goes less far.
        ends = {"dx": 11.0, "dy": 7.0, "grow": 2.5, "turn": 2.0} if large else {"dx": 3.6, "dy": 3.6, "grow": 1.4, "turn": 2.0}
        name = rng.choice(list(ends))
        scene.path = {name: rng.uniform(0 if name == "grow" else -ends[name], ends[name]) * min(1.0, (frames - 1) / 16)}
        if large:  # What passes is in the window in the middle of the clip.
            scene.things[0].x -= scene.path.get("dx", 0.0) / 2
            scene.things[0].y -= scene.path.get("dy", 0.0) / 2
    return scene


def pick(rng: random.Random, held_out: bool) -> tuple[str, str]:
    if held_out:
        return rng.choice(sorted(HELD_OUT))
    while True:
        chosen = rng.choice(SHAPES), rng.choice(list(COLOURS))
        if chosen not in HELD_OUT:
            return chosen


# Captions


def caption(scene: Scene, rng: random.Random) -> str:
    """What people type: shape and colour always, the rest often."""
    text = subject(scene, rng)
    if scene.motion != "still" or rng.random() < 0.1:
        text += f" {motion_words(scene.motion, rng)}"
    if rng.random() < 0.7:
        text += f" {background_words(scene, rng)}"
    lead = rng.choice(["", "", "", "a picture of ", "a drawing of ", "a photo of "])
    if scene.motion != "still":
        lead = rng.choice(["", "", "", "a video of ", "a clip of "])
    text = lead + text
    tail = rng.choice(["", "", "", "", ", flat colours", ", simple", ", high quality", ", best quality"])
    return finish(text + tail, rng)


def rich_caption(scene: Scene, rng: random.Random) -> str:
    """What a prompt writer makes of it: subject, background, light, camera, composition, style."""
    one = len(scene.things) == 1
    parts = [f"{subject(scene, rng)}{'' if scene.motion == 'still' else ' ' + motion_words(scene.motion, rng)}"]
    parts[0] += f" {background_words(scene, rng)}"
    parts.append(rng.choice(["soft even light", "bright studio light", "calm daylight", "gentle light from above"]))
    still = ["seen straight from the front", "a centred view at eye level", "a plain frontal view"]
    moving = ["the camera holds still", "a steady camera", "one continuous movement"]
    parts.append(rng.choice(still if scene.motion == "still" else moving))
    parts.append(rng.choice(["generous empty space around it" if one else "balanced empty space around them",
                             "a clear simple composition", "a quiet balanced composition"]))
    parts.append(rng.choice(["clean flat graphic style", "minimal poster style", "crisp paper cut style"]))
    text = ", ".join(parts)
    return text[0].upper() + text[1:] + "."


def subject(scene: Scene, rng: random.Random) -> str:
    words = [article(" ".join(w for w in (t.size, t.colour, t.shape) if w)) for t in scene.things]
    if len(words) == 1:
        place = scene.things[0].place
        said = place and scene.motion in ("still", "turning") and (place != "in the centre" or rng.random() < 0.3)
        return f"{words[0]} {place}" if said else words[0]
    if scene.relation == "above":
        return rng.choice([f"{words[0]} above {words[1]}", f"{words[1]} below {words[0]}"])
    return rng.choice(
        [
            f"{words[0]} and {words[1]}",
            f"{words[0]} next to {words[1]}",
            f"{words[0]} to the left of {words[1]}",
            f"{words[1]} to the right of {words[0]}",
        ]
    )


def motion_words(motion: str, rng: random.Random) -> str:
    if motion in ("left", "right"):
        return rng.choice([f"moving {motion}", f"moving to the {motion}", f"sliding to the {motion}"])
    if motion in ("up", "down"):
        return rng.choice([f"moving {motion}", f"moving {motion}wards", "rising" if motion == "up" else "falling"])
    return {"growing": rng.choice(["growing", "growing larger"]), "turning": rng.choice(["turning", "rotating"])}.get(
        motion, rng.choice(["standing still", "at rest"])
    )


def background_words(scene: Scene, rng: random.Random) -> str:
    top, bottom = scene.background
    if top == bottom:
        return rng.choice([f"on {article(top)} background", f"on {top}", f"on {article('plain ' + top)} background"])
    return rng.choice([f"on a gradient from {top} to {bottom}", f"on a background fading from {top} to {bottom}"])


def article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def finish(text: str, rng: random.Random) -> str:
    if rng.random() < 0.2:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.15 else text


# Pictures


def tensors(scenes: list[Scene], device="cpu") -> dict[str, torch.Tensor]:
    """What `render` draws from; every tensor begins with [B]."""
    names, colours = SHAPES, list(COLOURS)
    shape, colour, values, path = [], [], [], []
    for scene in scenes:
        row = [(names.index(t.shape), colours.index(t.colour), (t.x, t.y, t.radius, t.angle)) for t in scene.things]
        row += [(-1, 0, (0.0, 0.0, 1.0, 0.0))] * (2 - len(row))
        shape.append([s for s, _, _ in row])
        colour.append([COLOURS[colours[c]] for _, c, _ in row])
        values.append([v for _, _, v in row])
        path.append([scene.path.get(name, 0.0) for name in ("dx", "dy", "grow", "turn")])
    background = [[BACKGROUNDS[name] for name in scene.background] for scene in scenes]
    floats = lambda rows: torch.tensor(rows, dtype=torch.float32, device=device)
    return {
        "shape": torch.tensor(shape, device=device),  # [B, 2], -1 where there is none.
        "colour": floats(colour) / 127.5 - 1,  # [B, 2, 3]
        "values": floats(values),  # [B, 2, 4]
        "path": floats(path),  # [B, 4]
        "background": floats(background) / 127.5 - 1,  # [B, 2, 3]
    }


def render(scene: dict[str, torch.Tensor], frames: int, height: int, width: int) -> torch.Tensor:
    """Frames in [-1, 1], [B, F, 3, H, W]. The motion takes the whole clip, however many frames it has."""
    device = scene["values"].device
    half = min(height, width) / 2
    # Pixels' centres from the middle of the frame, in halves of the shorter side.
    ys = (torch.arange(height, device=device) + 0.5 - height / 2) / half
    xs = (torch.arange(width, device=device) + 0.5 - width / 2) / half
    down = ((torch.arange(height, device=device) + 0.5) / height)[None, None, :, None]
    top, bottom = scene["background"][:, 0, :, None, None], scene["background"][:, 1, :, None, None]
    picture = (top + (bottom - top) * down).expand(-1, -1, -1, width)
    picture = picture[:, None].expand(-1, frames, -1, -1, -1).clone()
    time = torch.linspace(0, 1, frames, device=device) if frames > 1 else torch.zeros(1, device=device)
    for k in range(2):
        path = scene["path"][:, :, None] * time if k == 0 else torch.zeros_like(scene["path"])[:, :, None] * time
        x, y, radius, angle = (scene["values"][:, k, i, None] for i in range(4))
        x, y = (x + path[:, 0]) * (width / 2 / half), (y + path[:, 1]) * (height / 2 / half)
        radius, angle = radius + path[:, 2], angle + path[:, 3]
        for s in scene["shape"][:, k].unique().tolist():
            if s < 0:
                continue
            rows = (scene["shape"][:, k] == s).nonzero()[:, 0]
            of = lambda v: v[rows][:, :, None, None]
            u, v = (xs[None, None, None, :] - of(x)) / of(radius), (ys[None, None, :, None] - of(y)) / of(radius)
            cos, sin = of(angle.cos()), of(angle.sin())
            distance = DISTANCES[s](u * cos + v * sin, v * cos - u * sin)
            mask = (0.5 - distance * of(radius) * half).clamp(0, 1)[:, :, None]
            colour = scene["colour"][rows, k][:, None, :, None, None]
            picture[rows] = picture[rows] * (1 - mask) + colour * mask
    return picture


# Distances from the edge, negative inside, of shapes of radius 1; y goes down.


def wedge(x, y, corners: int, inner: float):
    """A star of `corners` points, with the inner corners at the radius `inner`; one point is at the top."""
    step = math.pi / corners
    angle = torch.atan2(x, -y).abs() % (2 * step)
    angle = torch.minimum(angle, 2 * step - angle)
    radius = torch.hypot(x, y)
    px, py = radius * torch.cos(angle), radius * torch.sin(angle)
    # The edge runs from (1, 0) to the inner corner.
    ex, ey = inner * math.cos(step) - 1, inner * math.sin(step)
    return ((px - 1) * ey - py * ex) / math.hypot(ex, ey)


def circle(x, y):
    return torch.hypot(x, y) - 0.88


def square(x, y):
    return torch.maximum(x.abs(), y.abs()) - 0.78


def triangle(x, y):
    return wedge(x, y - 0.2, 3, 0.5)


def star(x, y):
    return wedge(x, y, 5, 0.42)


def cross(x, y):
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.9, y - 0.3), torch.maximum(x - 0.3, y - 0.9))


def ring(x, y):
    return (torch.hypot(x, y) - 0.68).abs() - 0.22


def heart(x, y):
    y = y - 0.12
    lower = (x.abs() + y.abs() - 0.8) / math.sqrt(2)
    lobes = torch.hypot(x.abs() - 0.4, y + 0.4) - 0.4 * math.sqrt(2)
    return torch.minimum(lower, lobes)


def crescent(x, y):
    x = x + 0.1
    return torch.maximum(torch.hypot(x, y) - 0.88, 0.7 - torch.hypot(x - 0.42, y))


DISTANCES = [circle, square, triangle, star, cross, ring, heart, crescent]
