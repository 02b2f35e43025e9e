"""Pairs of a short prompt and the detailed one that tiny-qwen is to make of it, and what such a prompt says.

A module, not a command. The detailed prompt is one of `world.rich_caption`, with the subject and the motion that the
short one names; where the short one leaves the background open, any is right. A prompt of another world keeps its
words and gets light, camera, composition and style.
"""

import random
import re
from dataclasses import dataclass

import world

STRANGERS = 0.1  # Share of prompts of another world.
VAGUE = 0.03  # Share of prompts without the shape or the colour.


@dataclass(frozen=True)
class Facts:
    """What a prompt says. `things` are (size, colour, shape) in the order of the text."""

    things: tuple[tuple[str, str, str], ...]
    relation: str = ""  # beside, left, right, above or below
    place: str = "in the centre"
    motion: str = "still"
    background: tuple[str, str] | None = None  # None: not said.


@dataclass(frozen=True)
class Pair:
    target: str  # image or video
    short: str
    detailed: str
    facts: Facts | None  # None where the short prompt leaves too much open, or is of another world.


def draw_pair(rng: random.Random, held_out: bool = False) -> Pair:
    """A pair; with `held_out` always of a scene, with a combination of shape and colour that training never has."""
    target = rng.choice(["image", "video"])
    if not held_out and rng.random() < STRANGERS:
        return stranger(rng, target)
    moves = rng.random() < (0.85 if target == "video" else 0.04)
    scene = world.draw_scene(rng, moves, held_out)
    if not held_out and rng.random() < VAGUE and len(scene.things) == 1:
        return vague(scene, rng, target)
    short, subject, motion, facts = (as_caption if rng.random() < 0.45 else typed)(scene, rng)
    return Pair(target, short, detailed(scene, subject, motion, rng), facts)


def detailed(scene: world.Scene, subject: str, motion: str, rng: random.Random) -> str:
    """`world.rich_caption` with this subject and these words of motion."""
    first = " ".join(words for words in (subject, motion, world.background_words(scene, rng)) if words)
    return f"{first[0].upper()}{first[1:]}, {additions(scene, rng)}"


def additions(scene: world.Scene, rng: random.Random) -> str:
    """Light, camera, composition and style."""
    return world.rich_caption(scene, rng).split(", ", 1)[1]


def as_caption(scene: world.Scene, rng: random.Random) -> tuple[str, str, str, Facts]:
    """`world.caption`, with the subject and the words of motion in it."""
    seed = rng.getrandbits(32)
    short = world.caption(scene, random.Random(seed))
    again = random.Random(seed)  # A caption draws its subject first, its motion next.
    subject = world.subject(scene, again)
    motion = "" if scene.motion == "still" else world.motion_words(scene.motion, again)
    _, _, rest = short.lower().partition(f"{subject} {motion}".strip())
    said = scene.background[0] in rest
    facts = read(f"{subject} {motion}".strip())
    return short, subject, motion, with_background(facts, scene.background if said else None)


def with_background(facts: Facts, background) -> Facts:
    return Facts(facts.things, facts.relation, facts.place, facts.motion, background)


# As people type

SIZES = {"small": ["small", "small", "little", "tiny"], "large": ["large", "large", "big", "huge"], "": [""]}
PLACES = {
    "in the centre": ["in the centre", "in the center", "centre", "in the middle", "centered"],
    "on the left": ["on the left", "left", "on the left side", "at the left"],
    "on the right": ["on the right", "right", "on the right side", "at the right"],
    "at the top": ["at the top", "top", "on top"],
    "at the bottom": ["at the bottom", "bottom", "at the lower edge"],
}
CORNER = ["in the {} corner", "{}", "{} corner", "at the {}", "in the {}"]
MOTIONS = {
    "left": ["moves left", "going left", "goes to the left", "slides left", "sliding left", "drifting left"],
    "right": ["moves right", "going right", "goes to the right", "slides right", "sliding right", "drifting right"],
    "up": ["moves up", "going up", "rises", "flying up", "goes up"],
    "down": ["moves down", "going down", "falls", "falling down", "goes down"],
    "growing": ["grows", "getting bigger", "gets larger", "growing bigger"],
    "turning": ["turns", "rotates", "spinning", "spins", "turning around"],
    "still": ["not moving", "standing still", "still", "stands still"],
}
JOINTS = {  # What is typed, by what is said.
    "beside": [" and ", " and ", ", ", " & ", " + ", " next to ", " beside ", " with ", " near "],
    "left": [" to the left of ", " left of ", " on the left of "],
    "right": [" to the right of ", " right of ", " on the right of "],
    "above": [" above ", " over ", " on top of "],
    "below": [" below ", " under ", " beneath "],
}
SAID = {"beside": ["and", "next to"], "left": ["to the left of"], "right": ["to the right of"]}
PLAIN = ["on {}", "on {}", "on {} background", "on a {} background", ", {} background", "{} background", "{} bg"]
PLAIN += [", background {}", "against {}", "in front of a {} background", "with a {} background"]
FADING = ["on a gradient from {} to {}", "{} to {} gradient", ", gradient {} to {}", "on {} to {}"]
FADING += ["on {} fading to {}", "on a background fading from {} to {}", ", background from {} to {}"]
FADING += ["with a gradient from {} to {}"]
LEADS = ["", "", "", "", "", "", "", "", "", "draw ", "please draw ", "paint ", "make ", "show me ", "give me "]
LEADS += ["create ", "i want ", "I want ", "I would like ", "generate ", "can you draw ", "could you please make "]
IMAGES = ["image of ", "an image of ", "picture of ", "a picture with ", "make a picture of ", "a poster of "]
VIDEOS = ["video of ", "a video with ", "make a video of ", "a short clip of ", "animate ", "animation of ", "clip: "]
TAILS = ["", "", "", "", "", "", " please", "!", ".", "?", ", minimal", ", simple", ", flat colours", ", thanks"]


def typed(scene: world.Scene, rng: random.Random) -> tuple[str, str, str, Facts]:
    """A short prompt in freer words, the subject and the motion of the detailed one, and the facts of both."""
    for thing in scene.things:
        if rng.random() < 0.1:
            thing.size = ""
    words = [typed_thing(thing, rng) for thing in scene.things]
    things = [" ".join(w for w in (t.size, t.colour, t.shape) if w) for t in scene.things]
    if len(things) == 2:
        relations = ["above", "below"] if scene.relation == "above" else ["beside", "beside", "left", "right"]
        relation = rng.choice(relations)
        if relation in ("right", "below"):
            words.reverse()
            things.reverse()
        joint = rng.choice(JOINTS[relation])
        text = joint.join(words)
        if relation == "beside" and rng.random() < 0.2:
            text = rng.choice(["two shapes: ", "2 shapes: ", "two things, "]) + text
        said = joint.strip() if joint.strip() in SAID["beside"] else rng.choice(SAID.get(relation, [relation]))
        subject = f"{world.article(things[0])} {said} {world.article(things[1])}"
    else:
        text, subject = words[0], world.article(things[0])
        place = scene.things[0].place
        often = 0.2 if place == "in the centre" else 0.85
        if place and scene.motion in ("still", "turning") and rng.random() < often:
            text += rng.choice([" ", " ", ", "]) + typed_place(place, rng)
            subject += f" {place}"
    motion = ""
    if scene.motion != "still":
        motion = world.motion_words(scene.motion, rng)
        text += f" {motion if rng.random() < 0.4 else rng.choice(MOTIONS[scene.motion])}"
    elif rng.random() < 0.04:
        text += f" {rng.choice(MOTIONS['still'])}"
    facts = read(f"{subject} {motion}".strip())
    if rng.random() < 0.5:
        top, bottom = scene.background
        ground = rng.choice(PLAIN).format(top) if top == bottom else rng.choice(FADING).format(top, bottom)
        if rng.random() < 0.1 and ground.startswith("{} background".format(top)):
            text = f"{ground}, {text}"
        else:
            text += ground if ground.startswith(",") else f" {ground}"
        facts = with_background(facts, scene.background)
    leads = LEADS + (IMAGES if scene.motion == "still" else VIDEOS)
    return dressed(rng.choice(leads) + text + rng.choice(TAILS), rng), subject, motion, facts


def typed_thing(thing: world.Thing, rng: random.Random) -> str:
    size = rng.choice(SIZES[thing.size])
    kind = rng.random()
    if kind < 0.06:
        words = f"{size} {thing.shape} in {thing.colour}".strip()
    elif kind < 0.1:
        words = f"{size} {thing.shape}, {thing.colour}".strip()
    elif kind < 0.14:
        words = f"{thing.colour} {size} {thing.shape}".replace("  ", " ")
    elif kind < 0.18:
        words = f"{size} {thing.colour} coloured {thing.shape}".strip()
    else:
        words = f"{size} {thing.colour} {thing.shape}".strip()
    return rng.choice([words, words, words, world.article(words), world.article(words), f"one {words}", f"the {words}"])


def typed_place(place: str, rng: random.Random) -> str:
    if place in PLACES:
        return rng.choice(PLACES[place])
    return rng.choice(CORNER).format(place.removeprefix("in the ").removesuffix(" corner"))


def dressed(text: str, rng: random.Random) -> str:
    kind = rng.random()
    if "grey" in text and rng.random() < 0.3:
        text = text.replace("grey", "gray")
    if kind < 0.06:
        return text.upper()
    if kind < 0.1:
        return text.title()
    return text[0].upper() + text[1:] if kind < 0.25 else text


def vague(scene: world.Scene, rng: random.Random, target: str) -> Pair:
    """Without the colour or the shape; the detailed prompt names some."""
    thing = scene.things[0]
    colour = ["something {}", "a {} shape", "{}", "anything {}", "some {} thing"]
    short = rng.choice([rng.choice(["", "a ", "the ", "one "]) + thing.shape, rng.choice(colour).format(thing.colour)])
    thing.size = ""
    motion = "" if scene.motion == "still" else world.motion_words(scene.motion, rng)
    text = detailed(scene, world.article(f"{thing.colour} {thing.shape}"), motion, rng)
    return Pair(target, dressed(f"{short} {motion}".strip(), rng), text, None)


# Of another world

NOUNS = """fox dog cat horse bird fish tree forest river lake mountain house castle bridge tower ship boat train car
road garden flower rose apple bread cup table chair lamp book clock piano guitar robot knight dragon wizard child woman
man king farmer sailor dancer city village street market harbour beach island desert snow rain storm cloud moon sun sky
night morning winter summer fire candle window door wall roof field meadow sheep cow goat owl raven bear wolf deer
rabbit mouse turtle whale shark bee spider leaf mushroom stone cave planet rocket kite balloon bicycle umbrella coat hat
shoe mask violin drum pumpkin lemon cake soup kettle teapot""".split()
ADJECTIVES = """old young wooden golden silver tall tiny huge bright dark misty quiet stormy frozen rusty ancient modern
happy sad sleepy angry funny soft warm cold wild lonely giant broken shiny dusty foggy empty busy red blue green white
black round""".split()
VERBS = """running sleeping flying swimming dancing jumping sitting standing walking singing reading burning floating
glowing looking waiting""".split()
LINKS = ["in the", "in", "on a", "on the", "under the", "near a", "with a", "by the", "over the", "and a", "at"]


def stranger(rng: random.Random, target: str) -> Pair:
    """A prompt of other words, many of them of no language, so that any word learns to be copied."""
    noun = lambda: invented(rng) if rng.random() < 0.45 else rng.choice(NOUNS)
    adjective = lambda: rng.choice(ADJECTIVES) if rng.random() < 0.8 else invented(rng)
    parts = [noun()]
    if rng.random() < 0.5:
        parts.insert(0, adjective())
    if rng.random() < 0.35:
        parts.append(rng.choice(VERBS))
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        parts += [rng.choice(LINKS), *([adjective()] if rng.random() < 0.35 else []), noun()]
    text = " ".join(parts)
    if rng.random() < 0.12:
        text = " ".join(noun() for _ in range(rng.randint(1, 6)))
    lead = rng.choice(["", "", "", "a", "a", "the", "two", "photo of a", "a painting of a", str(rng.randint(2, 99))])
    text = world.article(text) if lead == "a" else f"{lead} {text}".strip()
    if rng.random() < 0.1:
        text = f"{text}, {adjective()}"
    if rng.random() < 0.08:
        text = rng.choice([text.upper(), text.title()])
    scene = world.draw_scene(rng, target == "video")
    scene.things = scene.things[:1]
    kept = re.sub(r"^(a|an|the|two) ", lambda found: found[0].capitalize(), text)
    end = rng.choice(["", "", "", "", ".", "!"])
    return Pair(target, text + end, f"{kept}, {additions(scene, rng)}", None)


def invented(rng: random.Random) -> str:
    onsets = ["b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "st", "tr", "ch", ""]
    vowels, codas = ["a", "e", "i", "o", "u", "ee", "ou"], ["", "", "n", "r", "l", "s", "ck"]
    count = rng.choice([1, 2, 2, 3])
    word = "".join(rng.choice(part) for _ in range(count) for part in (onsets, vowels, codas))
    return word.capitalize() if rng.random() < 0.1 else word


# What a detailed prompt says

THING = rf"(an?) (?:(small|large) )?({'|'.join(world.COLOURS)}) ({'|'.join(world.SHAPES)})"
NAMED = {
    "left": "moving left|moving to the left|sliding to the left",
    "right": "moving right|moving to the right|sliding to the right",
    "up": "moving up|moving upwards|rising",
    "down": "moving down|moving downwards|falling",
    "growing": "growing|growing larger",
    "turning": "turning|rotating",
    "still": "standing still|at rest",
}
RELATIONS = {"and": "beside", "next to": "beside", "to the left of": "left", "to the right of": "right"}
RELATIONS |= {"above": "above", "below": "below"}
GROUND = "|".join(world.BACKGROUNDS)
FIRST = re.compile(
    rf"{THING}(?: ({'|'.join(RELATIONS)}) {THING})?(?: ({'|'.join(world.PLACES)}))?"
    rf"(?: ({'|'.join(NAMED.values())}))?"
    rf"(?: on (?:an? )?(?:plain )?({GROUND})(?: background)?"
    rf"| on a (?:gradient|background fading) from ({GROUND}) to ({GROUND}))?"
)


def read(text: str) -> Facts | None:
    """The facts of the first part of a caption; `None` where `world` writes no such caption."""
    first = text.split(", ", 1)[0]
    found = FIRST.fullmatch(first[:1].lower() + first[1:])
    if not found:
        return None
    one, size, colour, shape, joint, two, size2, colour2, shape2, place, motion, plain, top, bottom = found.groups()
    things = ((size or "", colour, shape),) + (((size2 or "", colour2, shape2),) if joint else ())
    for given, (size, colour, _) in zip((one, two), things):
        if world.article(size or colour).split()[0] != given:
            return None
    motions = [name for name, words in NAMED.items() if motion in words.split("|")]
    background = (plain, plain) if plain else (top, bottom) if top else None
    relation = RELATIONS[joint] if joint else ""
    return Facts(things, relation, place or "in the centre", motions[0] if motions else "still", background)
