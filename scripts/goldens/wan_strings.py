"""Texts for the tokens of WAN prompts: many scripts, things `prompt_clean` changes, characters out of vocabulary.

A module, not a command. `texts()` gives them all, `corpus()` those from which the tiny vocabulary is made.
"""

import random

# The default negative prompt of the published model (public text of its configuration file `shared_config.py`).
NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)

# Whose characters all are in the vocabulary.
KNOWN = [
    "a red fox runs through the snow at golden hour",
    "A cat and a dog baking a cake together in a kitchen.",
    "The camera slowly pans across a quiet harbour; boats, gulls, fog.",
    "cinematic, 35mm, shallow depth of field, 4k, 16:9, f/1.8",
    "An old man's hands (close-up) knead dough -- slow motion!",
    "neon city street at night, rain, reflections, walking people",
    "two boxing cats on a lit stage",
    "the the the and and of of to to in in",
    "Don't stop: it's 10% off, isn't it?",
    "portrait of an astronaut riding a horse, oil on canvas",
    "blurry, low quality, distorted, watermark, text",
    "low-angle shot, handheld; 24 fps @ 480x832",
    "UPPER CASE AND lower case and MiXeD cAsE",
    "salt & pepper & fish, R&D",
    "snake_case, kebab-case, dots.and/slashes\\and|pipes",
    "[web] is one piece; [1], {2}, <3>, #4, $5, ^6, ~7, `8`, =9, +0",
    "Ein Schloß über den Wolken, sehr schön, größer als alle Häuser",
    "Un café près de la mer, très détaillé, l'été à Genève",
    "El niño corrió rápido mañana; ¿qué pasó? ¡Qué día!",
    "Il gatto è più veloce della città, così però perché",
    "O avião não pousou em São Paulo; coração, ações",
    "Zażółć gęślą jaźń, powoli płynie łódź",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép, őszi erdő",
    "Pijamalı hasta yağız şoföre çabucak güvendi, İstanbul ışıkları",
    "Smørrebrød på bordet, blåbær og fjord, åben ø",
    "Hylätty veturi lähtee yöllä, ääni",
    "Đường phố Hà Nội vào buổi sáng, người đi xe đạp",
    "Рыжая лиса бежит по снегу на закате, медленная съёмка",
    "Київ увечері, їжак і ґанок, щастя",
    "Η αλεπού τρέχει στο χιόνι, ηλιοβασίλεμα",
    "שועל אדום רץ בשלג בשעת הזהב",
    "ثعلب أحمر يركض في الثلج عند الغروب",
    "روباه قرمز در برف می دود، پاییز",
    "लाल लोमड़ी बर्फ में दौड़ती है",
    "শীতের সকালে লাল শিয়াল দৌড়ায়",
    "பனியில் ஓடும் சிவப்பு நரி",
    "สุนัขจิ้งจอกแดงวิ่งบนหิมะ",
    "წითელი მელა გარბის თოვლში",
    "Կարմիր աղվեսը վազում է ձյան վրա",
    "ቀይ ቀበሮ በበረዶ ላይ ይሮጣል",
    "雪の中を走る赤い狐、夕暮れ、映画のような光",
    "カメラはゆっくり右へ動く。猫がジャンプする",
    "붉은 여우가 눈 속을 달린다, 해질녘, 느린 화면",
    "一只红狐狸在雪地里奔跑，黄昏，电影感",
    "紅色的狐狸在雪中奔跑,黃昏,慢動作",
    "纪实摄影风格画面，一只活泼的小狗在绿茵茵的草地上迅速奔跑",
    NEGATIVE,
    "fox 狐狸 лиса 여우 mixed scripts in one line",
    "1 22 333 4444 55555 3.14159 1,000,000",
    "emoji-free but with symbols: © ® ° ± × ÷ € £ ¥ § ¶",
    "“quoted” ‘single’ — dash – en… ellipsis",
]

# What clean-up changes, one by one.
CLEANED = [
    "",
    " ",
    "   leading and trailing   ",
    "tabs\tand\nnew\r\nlines\rand\x0bmore\x0cbreaks",
    "two  spaces   three    four",
    "no\u00a0break\u2003em\u2009thin\u3000ideographic",
    "line\u2028separator paragraph\u2029separator next\u0085line",
    "zero\u200bwidth\u200djoiner\ufeffmark",
    "soft\u00adhyphen",
    "salt &amp; pepper",
    "salt &amp;amp; pepper",
    "salt &amp;amp;amp; pepper",
    "&lt;b&gt;bold&lt;/b&gt; &quot;text&quot; &#39;x&#39; &#x41;",
    "fish & chips, R&D, a&b;c",
    "&nbsp;entity space&nbsp;&nbsp;",
    "&eacute;t&eacute; &copy; &euro; &hellip;",
    "caf\u00c3\u00a9 na\u00c3\u00afve",
    "donâ€™t do it â€œquotedâ€\x9d",
    "Ã¼ber den Wolken",
    "ＡＢＣ １２３ ｆｕｌｌ ｗｉｄｔｈ！",
    "ｶﾀｶﾅ half width",
    "色调艳丽，过曝，静态",
    "ﬁne ﬂow oﬃce",
    "cafe\u0301 e\u0301te\u0301",
    "\x1b[31mred\x1b[0m text",
    "bell\x07 null\x00 delete\x7f",
    "curly ‘a’ “b” ‚c‘ „d“ «e»",
    "‹one› ′prime″",
    "…and so on…",
    "A\u030a ring",
    "한글 자모",
    "�replacement�",
    "ŉ apostrophe n",
    "Mr. O’Neil’s “best” day — 5′ 10″",
    "trailing newline\n",
    "\n\n\nleading newlines",
    "<div>html-like</div>",
    "&lt;3 hearts &lt;not a tag",
    "100% &percnt; &plus; &num;",
    "&#8217; &#8220;x&#8221; &#128512;",
    "\ud7a3\uac00",
]

# Characters that no piece has, pieces within a text that are tokens by themselves, and the character of the blank.
ODD = [
    "a 😀 fox",
    "😀😁😂",
    "😀 😁 😂",
    "👨‍👩‍👧 family",
    "🇩🇪 flag",
    "rare 𠀋𡈽 ideographs",
    "龘靐齉 龘",
    "ꙮ multiocular",
    "ᚠᚢᚦ runes",
    "ⵣ tifinagh ⴰ",
    "☃ snow ☂",
    "a </s> b",
    "</s>",
    "<pad>",
    "<unk> fox",
    "<s>fox</s>",
    "<extra_id_0> fox <extra_id_1>",
    "fox<extra_id_0>fox",
    "<extra_id_99>",
    "a ▁b",
    "a▁b",
    "▁",
    "▁▁",
    "▁fox ▁▁ fox▁",
    "<0x41> is not A",
    "[web][web] [web]",
    "x[web]y",
    "fox😀fox",
    "¬ ¤ ¦",
    "∑ ∫ √ ∞ ≠",
    "α≤β",
    "①②③ ㎏ ㍿",
    "½ ¼ ¾ ²³",
    "ｗ️",
    "a\u0300\u0301\u0302",
    "ZWJ क्\u200dष",
    "الـــعربية",
    "ﷺ",
    "\u202eright to left\u202c",
    "٣٤٥ ४५६",
]

SUBJECTS = ["a red fox", "two cats", "the astronaut", "一只小狗", "лиса", "un café", "雪の中", "붉은 여우", "ثعلب", "an old man's hands"]
PLACES = ["in the snow", "at night", "on canvas", "в снегу", "près de la mer", "草地上", "눈 속을", "夕暮れ", "in a kitchen", "über den Wolken"]
STYLES = ["cinematic", "slow motion!", "4k, 35mm", "电影感", "oil on canvas", "très détaillé", "(close-up)", "24 fps", "慢動作", "rain; fog"]


def combined(count: int) -> list[str]:
    """Made of the parts above, with separators that clean-up changes or leaves."""
    draw = random.Random(0)
    separators = [" ", ", ", "，", "  ", "\n", "; ", " - ", "\u3000", ". ", " &amp; "]
    out = []
    for _ in range(count):
        parts = [draw.choice(group) for group in (SUBJECTS, PLACES, STYLES)]
        out.append(parts[0] + draw.choice(separators) + parts[1] + draw.choice(separators) + parts[2])
    return out


def corpus() -> list[str]:
    return KNOWN


def texts() -> list[str]:
    long = " ".join(KNOWN[i % 14] for i in range(60))
    return KNOWN + CLEANED + ODD + combined(70) + [long]
