"""Token ids of CLIP's full vocabulary for 2,726 strings: ourvidz-sdxl/tests/golden/clip_tokens.json.gz.

    python scripts/goldens/clip_tokens.py          # made with transformers 5.17.0, tokenizers 0.23.3

Those written out here, random runs of what meets at a boundary, and the 2,394 of embed_strings.py in many scripts. Each
case has the text and `ids` with <|startoftext|> and <|endoftext|>, neither padded nor truncated, by transformers'
CLIPTokenizer as the published SDXL's folder `tokenizer` sets it up. `ids_2`, there only where it differs, is of the
folder `tokenizer_2`: its padding token is "!", which makes every "!" of a text the token 0, apart from its neighbours.
"""

import gzip
import json
import random
import tempfile
from pathlib import Path

import tokenizers
import transformers
from transformers import CLIPTokenizer

import sdxl_common as common
from embed_strings import strings

OUT = common.ROOT / "ourvidz-sdxl/tests/golden/clip_tokens.json.gz"

TEXTS = [
    "",
    "a",
    "A photo of a cat",
    "a photo of an astronaut riding a horse on mars, highly detailed, 8k",
    "masterpiece, best quality, (red hair:1.2), [blue eyes], {detailed}, <lora:style:0.8>, looking at viewer",
    "photo of a woman, 35mm f/1.4, ISO-100, 1/200s, bokeh!",
    "Hello, World!",
    "hello world",
    "HELLO WORLD",
    "hElLo WoRlD",
    "The quick brown fox jumps over the lazy dog.",
    "antidisestablishmentarianism",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "supercalifragilisticexpialidocious " * 4,
    "a" * 10,
    "a" * 300,
    "ab" * 200,
    "z" * 77,
    "word " * 100,
    "word " * 75,
    "word " * 76,
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "qwrtpsdfghjklzxcvbnm",
    # Contractions
    "it's",
    "IT'S",
    "don't won't can't shan't",
    "I'm you're he'll we've they'd she's",
    "I'M YOU'RE HE'LL WE'VE THEY'D SHE'S",
    "y'all'd've",
    "'s 't 're 've 'm 'll 'd",
    "'sup 'tis 'twas",
    "rock 'n' roll",
    "the dogs' bowls",
    "''s",
    "'",
    "''",
    "it’s don’t ’s",
    "o'clock O'Brien d'Artagnan",
    "'S'T'RE",
    "'ſ",
    "ſ K Å",
    # Numbers
    "0",
    "1234567890",
    "3.14159",
    "1,000,000.00",
    "1/2 cup",
    "16:9",
    "4K 8k 1080p 2160P",
    "x86_64 utf-8 mp3",
    "½ ¼ ¾ ² ³ ¹",
    "Ⅷ Ⅳ ⅻ",
    "① ② ③",
    "٠١٢٣٤٥٦٧٨٩",
    "०१२३४५",
    "１２３ＡＢＣ",
    "10³ CO₂ H₂O",
    "1st 2nd 3rd 4th",
    "$99.99 €50 £20 ¥1000 ₿1",
    "50% off",
    "+1 (555) 123-4567",
    "2024-01-31T12:34:56Z",
    # Punctuation
    "!",
    "!!",
    "!!!",
    "!!!!!!!!!!",
    "wow!",
    "wow!!!",
    "wow ! wow",
    "!important",
    "a!b!c",
    "?!?!",
    "!?",
    "no!no",
    "...",
    "....",
    "…",
    "wait... what?",
    "-",
    "--",
    "---",
    "well-known state-of-the-art",
    "a - b – c — d",
    "(parentheses) [brackets] {braces} <angles>",
    "((((deep))))",
    "\"quoted\" 'single' “curly” ‘curly’ «guillemets»",
    "a,b,c",
    "a, b, c",
    "a ,b ,c",
    "#hashtag @mention",
    "C++ C# F# .NET",
    "user@example.com",
    "https://example.com/path?query=1&other=two#fragment",
    "foo_bar__baz",
    "snake_case_name CamelCaseName",
    "*bold* _italic_ ~strike~ `code`",
    "a/b\\c|d",
    "^_^ :-) :( ;-P <3 o_O",
    "=====",
    "==> <== -> <- =>",
    "~~~~~",
    "%%%",
    "&&&",
    "$$$",
    "@@@@",
    "!@#$%^&*()_+-=[]{}|;':\",./<>?`~",
    "§ ¶ † ‡ • ‰",
    "© ® ™",
    "° ′ ″",
    "± × ÷ ≠ ≤ ≥ ≈ ∞",
    "∑ ∏ ∫ √ ∂ ∆",
    "← ↑ → ↓ ↔",
    "█▓▒░ ■□▲△",
    "。、「」『』",
    "!！?？",
    # Whitespace
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    " leading",
    "trailing ",
    "  both  ",
    "double  space",
    "many          spaces",
    "tab\tseparated\tvalues",
    "line\nbreak",
    "windows\r\nbreak",
    "line\n\n\nbreaks",
    "no\u00a0break\u00a0space",
    "thin\u2009space",
    "ideographic\u3000space",
    "em\u2003space en\u2002space",
    "zero\u200bwidth\u200bspace",
    "line\u2028separator\u2029paragraph",
    "next\u0085line",
    "vertical\x0btab form\x0cfeed",
    "soft\u00adhyphen",
    "word\u2060joiner",
    "\ufeffbom",
    "mongolian\u180evowel",
    "ogham\u1680space",
    "\x1cfile\x1dgroup\x1erecord\x1funit",
    # Control characters
    "null\x00byte",
    "bell\x07",
    "back\x08space",
    "escape\x1b[31mred\x1b[0m",
    "delete\x7f",
    "c1\x80\x9f",
    "\x01\x02\x03",
    "right\u200fto\u200eleft",
    "\u202eoverride\u202c",
    "replacement\ufffd",
    "private\ue000use",
    "noncharacter\uffff",
    "\U0010ffff",
    # HTML
    "&amp; &lt; &gt; &quot; &#39; &nbsp;",
    "AT&amp;T",
    "&amp;amp;",
    "<b>bold</b> <br/>",
    "caf&eacute;",
    "&#x1F600;",
    # Special tokens within a text
    "<|startoftext|>",
    "<|endoftext|>",
    "before <|endoftext|> after",
    "before<|endoftext|>after",
    "<|startoftext|>a cat<|endoftext|>",
    "<|STARTOFTEXT|> <|EndOfText|>",
    "<|endoftext|",
    "<|endoftext |>",
    "<|pad|>",
    "<|endoftext|><|endoftext|>",
    "!<|endoftext|>!",
    "</w>",
    "cat</w> dog",
    # Latin with marks, composed and not
    "café",
    "cafe\u0301",
    "CAFÉ CAFE\u0301",
    "naïve façade résumé",
    "Ångström A\u030angstro\u0308m",
    "Straße STRASSE ẞ",
    "İstanbul ISTANBUL ıspanak",
    "Ǆ ǅ ǆ Ǉ",
    "ﬁ ﬂ ﬀ ﬃ",
    "Æon œuvre Øre þorn ðe",
    "Zażółć gęślą jaźń",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép",
    "El pingüino Wenceslao hizo kilómetros, ¿verdad? ¡Sí!",
    "Les naïfs ægithales hâtifs pondant à Noël où il gèle",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "Höjdpunkter på ön",
    "Pijamalı hasta yağız şoföre çabucak güvendi",
    "Tiếng Việt có dấu",
    "Tiê\u0301ng Viê\u0323t",
    "ﾊﾝｶｸ ｶﾀｶﾅ",
    "z\u0335\u0321a\u0337l\u0334g\u0338o\u0336",
    "ö\u0308\u0304",
    "\u0301alone",
    "Å\u212b\u2126\u212a",
    "ǰ ŉ ΐ ᾳ",
    # Greek, Cyrillic, Caucasus
    "Καλημέρα κόσμε",
    "ΟΔΟΣ ΣΊΣΥΦΟΣ",
    "Σ",
    "ὈΔΥΣΣΕΎΣ",
    "Съешь же ещё этих мягких французских булок",
    "ПРИВЕТ, МИР!",
    "Йод й и\u0306",
    "Чуєш їх, доцю, га?",
    "Љубазни фењерџија",
    "გამარჯობა",
    "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ",
    "Բարեւ Ձեզ և",
    # Semitic, Indic, South-East Asia
    "שלום עולם",
    "שָׁלוֹם",
    "مرحبا بالعالم",
    "السَّلَامُ عَلَيْكُمْ",
    "سلام دنیا می‌خواهم",
    "اردو میں",
    "नमस्ते दुनिया",
    "क़ ख़ ज़",
    "বাংলা ভাষা",
    "ਪੰਜਾਬੀ",
    "ગુજરાતી",
    "தமிழ் மொழி",
    "తెలుగు",
    "ಕನ್ನಡ",
    "മലയാളം",
    "සිංහල",
    "ภาษาไทย",
    "ພາສາລາວ",
    "မြန်မာဘာသာ",
    "ភាសាខ្មែរ",
    "བོད་སྐད",
    "አማርኛ",
    "ᏣᎳᎩ ꮳꮃꭹ",
    "ᠮᠣᠩᠭᠣᠯ",
    "Deseret 𐐀𐐨",
    "𝕬𝖇𝖈 𝒜𝒷𝒸 𝟙𝟚𝟛",
    "𓀀𓁐",
    # East Asia
    "一只在雪地里的红狐狸",
    "繁體中文測試",
    "赛博朋克风格，霓虹灯，8K",
    "日本語のテスト",
    "カタカナとひらがな",
    "か\u3099き\u3099 がぎ",
    "東京タワーの夜景、高画質！",
    "한국어 테스트",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "𠀀𠮷野家",
    "㍻ ㎏ ㈱",
    "豈 更",
    # Emoji
    "😀",
    "😀😃😄",
    "I ❤️ NY",
    "❤ ❤️",
    "👍🏽",
    "👨‍👩‍👧‍👦",
    "🏳️‍🌈 🏴‍☠️",
    "🇩🇪🇫🇷🇯🇵",
    "1️⃣ #️⃣",
    "🧑🏿‍🚀 on 🌕",
    "sunset🌅beach🏖",
    "🔥🔥🔥 lit 💯",
    "☕︎ ☕️",
    "🫠🪿🫨",
    "cat😺dog🐶",
    "🤷‍♀️ ¯\\_(ツ)_/¯",
    "♠♥♦♣ ♪♫",
    # Mixtures
    "Привет, hello, 你好, مرحبا, 안녕, שלום",
    "a漢b字c",
    "test123test",
    "123test456",
    "3D-rendered 2.5D x10 10x",
    "iPhone15Pro",
    "BMW-M3 F-16 B2B",
    "e=mc² and E=MC^2",
    "naïve—café…«déjà vu»",
    "Dr. Mr. Mrs. U.S.A. e.g. i.e.",
    "SELECT * FROM t WHERE a='b';",
    '{"key": "value", "n": [1, 2.5e-3]}',
    "def f(x): return x**2  # comment",
    "an oil painting in the style of Vincent van Gogh,\n  swirling sky ,  village ;  trending on ArtStation ",
]


def generated(count: int) -> list[str]:
    """Random runs of the pieces that meet at a boundary, then random words of the vocabulary's own pieces."""
    rng = random.Random(0)
    pieces = ["cat", "Dog", "é", "e\u0301", "7", "42", "!", "!!", "'s", "'LL", "...", ",", " ", "  ", "\n", "-", "你", "я", "😀"]
    pieces += ["<|endoftext|>", "\u00a0", "(", ")", "&", "ß", "İ", "\u200d", "²", "_", "ก็"]
    texts = ["".join(rng.choice(pieces) for _ in range(rng.randint(2, 14))) for _ in range(count // 2)]
    words = [t.removesuffix("</w>") for t in common.clip_vocabulary()[0] if t.isascii()]
    return texts + [" ".join(rng.choice(words) for _ in range(rng.randint(1, 9))) for _ in range(count - len(texts))]


def main() -> None:
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        common.write_tokenizer(Path(folder) / "1", common.EOS)
        common.write_tokenizer(Path(folder) / "2", "!")
        first, second = (CLIPTokenizer.from_pretrained(Path(folder) / name) for name in "12")
    texts = TEXTS + generated(50)
    assert len(set(texts)) == len(texts)
    texts = list(dict.fromkeys(texts + strings()))
    for text in texts:
        case = {"text": text, "ids": first(text).input_ids}
        if (ids := second(text).input_ids) != case["ids"]:
            case["ids_2"] = ids
        cases.append(case)
    origin = f"scripts/goldens/clip_tokens.py: transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps({"origin": origin, "cases": cases}, ensure_ascii=False, separators=(",", ":")).encode()
    OUT.write_bytes(gzip.compress(data, 9, mtime=0))
    print(len(cases), "cases,", sum("ids_2" in case for case in cases), "with ids_2")


if __name__ == "__main__":
    main()
