"""Sentences for embeddings: 200 of many topics and lengths, most in English; written for this repository."""

import random

WRITTEN = """
A red fox trots through fresh snow at golden hour.
The arctic fox changes its coat from brown to white in autumn.
Neon signs are mirrored in the wet streets of a city at night.
How do I reset my password?
I forgot the password of my account and cannot log in.
Where can I download last month's invoice?
The parcel arrived two days late and the box was torn.
Please cancel my subscription at the end of the month.
Is there a discount for students?
Knead the dough for ten minutes, then let it rise in a warm place.
Bread that rises overnight in the fridge tastes better.
Add the garlic last, or it will burn and turn bitter.
A good risotto needs patience, hot stock and constant stirring.
What is the boiling point of water at 3000 metres?
Water boils at about ninety degrees Celsius on a mountain that high.
The mitochondrion is where a cell makes most of its energy.
Plants turn light, water and carbon dioxide into sugar.
Light takes eight minutes from the Sun to the Earth.
Jupiter has more mass than all the other planets together.
A black hole bends the path of light that passes near it.
The treaty ended thirty years of war on the continent.
The library burned, and with it the only copies of her plays.
In 1969 two people walked on the Moon while a third one waited in orbit.
The bridge was built in four years and has stood for two centuries.
Prices rose by three percent in the last quarter.
The central bank left interest rates where they were.
Shares of the carmaker fell after the recall.
She sold her house and bought a boat.
He retired at forty and now keeps bees.
Our flight to Lisbon was delayed by a thunderstorm.
The train leaves from platform nine at a quarter past six.
The museum is closed on Mondays and free on the first Sunday of the month.
We hiked along the ridge until the fog came in.
The lake was so still that the mountains stood in it upside down.
An old fisherman mends his nets in the harbour.
Children fly kites on the beach while the tide goes out.
A cat sleeps on a warm windowsill.
My dog is afraid of thunder and hides under the bed.
The kitten chased a ball of wool across the room.
Parrots can live for more than sixty years.
The striker scored twice in the last five minutes.
She ran the marathon in under three hours despite the heat.
Chess players often lose weight during long tournaments.
The orchestra tuned before the conductor came in.
He plays the cello in a string quartet.
The song is in a minor key and yet it sounds happy.
The second act of the play is too long.
It was the best film about a submarine that I have seen.
The novel tells one day in the life of a lighthouse keeper.
The painting shows a woman who reads a letter at an open window.
An oil painting of a stormy sea, thick strokes, dark clouds.
A portrait in soft light, shallow depth of field, film grain.
Aerial view of terraced rice fields after rain.
Slow camera push towards an astronaut who waters a small plant.
The doctor recommended rest, plenty of water and no screens.
Take one tablet after each meal for a week.
Vaccines train the immune system without causing the disease.
A fever above forty degrees needs a doctor at once.
The court ruled that the contract was void.
The tenant must give notice three months before moving out.
The suspect was released for lack of evidence.
Parliament passed the law with a majority of two votes.
The mayor promised more trees and fewer parking lots.
A function that calls itself needs a case in which it stops.
The borrow checker refused two mutable references to one vector.
Use a hash map when lookups matter more than order.
The server answers with status 404 when nothing is there.
How can I undo the last commit without losing my changes?
The index of the database was missing, so every query read the whole table.
Garbage collection paused the service for two seconds.
Encrypt the backup before it leaves the building.
The model was trained on images of handwritten digits.
Attention compares every token with every other token.
The robot arm sorts apples by colour and size.
Solar panels on the roof cover half of what we use.
The wind turbine stopped because the wind was too strong.
Electric buses are quieter and need less maintenance.
The glacier has lost a third of its ice since 1980.
Drought followed the fire, and floods followed the drought.
Plant the bulbs in October, about ten centimetres deep.
Tomatoes need sun, water at their roots and a stick to climb.
The soil here is too sour for lavender.
Happiness is a habit more than an event.
To forgive is not to forget.
Is free will compatible with the laws of physics?
A map is not the land that it shows.
Time seems to slow down when we are bored.
My grandmother taught me to knit when I was seven.
They met by chance and married within a year.
He apologised, but she had already left.
The baby laughed for the first time today.
I could not sleep because of the noise from the street.
Nobody answered, so I left a note at the door.
What a beautiful morning!
Thanks.
Yes
ok
?
42
3.14159
GPU
""".strip().split("\n")

OTHER = """
Ein roter Fuchs läuft durch den frischen Schnee.
Wie setze ich mein Passwort zurück?
Un renard roux traverse la neige fraîche.
Où puis-je télécharger ma facture ?
El zorro rojo corre por la nieve recién caída.
¿A qué hora sale el tren?
Uma raposa vermelha corre pela neve.
La volpe rossa corre nella neve fresca.
Czerwony lis biegnie po świeżym śniegu.
Рыжая лиса бежит по свежему снегу.
Η κόκκινη αλεπού τρέχει στο χιόνι.
الثعلب الأحمر يركض في الثلج.
השועל האדום רץ בשלג.
लाल लोमड़ी ताज़ी बर्फ़ में दौड़ती है।
一只红狐狸跑过新雪。
赤い狐が新雪の中を走る。
빨간 여우가 눈 속을 달린다.
สุนัขจิ้งจอกแดงวิ่งในหิมะ
Con cáo đỏ chạy trong tuyết.
🦊❄️ fox in snow 🌅
naïve café, 50 % off — “today only”!
SELECT name FROM users WHERE id = 7;
fn main() { println!("hello"); }
https://example.com/a/b?c=d#e
""".strip().split("\n")


def sentences() -> list[str]:
    """All 200: those written, and runs of them up to texts that the model must cut."""
    rng = random.Random(7)
    texts = WRITTEN + OTHER
    lengths = [2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30]
    while len(texts) < 200:
        texts.append(" ".join(rng.choice(WRITTEN[:-7]) for _ in range(lengths[len(texts) % len(lengths)])))
    assert len(set(texts)) == 200
    return texts
