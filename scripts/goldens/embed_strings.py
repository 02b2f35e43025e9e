"""Some 2,400 strings in many scripts for tokenizers, generated: words of random letters, signs, spaces, accents."""

import random
import unicodedata

# First and last code point of what is drawn from.
SCRIPTS = {
    "latin": (0x61, 0x7A), "latin_1": (0xC0, 0xFF), "latin_a": (0x100, 0x17F), "latin_more": (0x1E00, 0x1EFF),
    "greek": (0x391, 0x3C9), "cyrillic": (0x410, 0x45F), "armenian": (0x531, 0x586), "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x620, 0x64A), "devanagari": (0x905, 0x94D), "bengali": (0x985, 0x9CD), "tamil": (0xB85, 0xBCD),
    "telugu": (0xC05, 0xC4D), "thai": (0xE01, 0xE4E), "lao": (0xE81, 0xECD), "tibetan": (0xF40, 0xF84),
    "georgian": (0x10D0, 0x10F0), "hangul_jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x135A), "cherokee": (0x13A0, 0x13F4),
    "khmer": (0x1780, 0x17D3), "mongolian": (0x1820, 0x1877), "hiragana": (0x3041, 0x3096), "katakana": (0x30A1, 0x30FA),
    "cjk": (0x4E00, 0x9FA5), "cjk_a": (0x3400, 0x4DB5), "hangul": (0xAC00, 0xD7A3), "half_width": (0xFF01, 0xFFDC),
    "compatibility": (0xF900, 0xFA6A), "gothic": (0x10330, 0x1034A), "deseret": (0x10400, 0x1044F),
    "mathematical": (0x1D400, 0x1D7CB), "emoji": (0x1F300, 0x1F64F), "cjk_b": (0x20000, 0x2A6D6),
}
SIGNS = list(".,;:!?-_()[]{}'\"/\\@#$%^&*+=<>|~`") + ["…", "—", "«", "»", "“", "”", "。", "、", "！", "№", "€", "±", "½", "²", "ﬁ"]
SPACES = [" ", " ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufeff", "\u00ad"]
MARKS = ["\u0301", "\u0308", "\u0327", "\u030a", "\u0323", "\ufe0f"]
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "<s>", "</s>", "<mask>", "<pad>", "\x00", "\x07", "\ufffd", "\ue000"]
WORDS = "fox snow night city river bread water light Tokyo Berlin naïve café 2024 3.14 x86 don't e-mail".split()


def strings() -> list[str]:
    rng = random.Random(11)
    assigned = {
        name: [chr(c) for c in range(first, last + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
        for name, (first, last) in SCRIPTS.items()
    }

    def word(script: str) -> str:
        letters = [rng.choice(assigned[script]) for _ in range(rng.randint(1, 7))]
        if rng.random() < 0.12:
            letters.insert(rng.randint(1, len(letters)), rng.choice(MARKS))
        text = "".join(letters)
        return text.upper() if rng.random() < 0.2 else text

    texts = []
    for i in range(2400):
        script = list(SCRIPTS)[i % len(SCRIPTS)]
        parts = []
        for _ in range(rng.randint(1, 6)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(word(script))
            elif kind < 0.62:
                parts.append(word(rng.choice(list(SCRIPTS))))
            elif kind < 0.75:
                parts.append(rng.choice(WORDS))
            elif kind < 0.9:
                parts.append(rng.choice(SIGNS) * rng.randint(1, 3))
            elif kind < 0.96:
                parts.append(str(rng.randint(0, 99999)))
            else:
                parts.append(rng.choice(SPECIAL))
            parts.append(rng.choice(SPACES) if rng.random() < 0.8 else "")
        texts.append("".join(parts))
    return texts
