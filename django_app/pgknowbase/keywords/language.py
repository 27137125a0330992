# ruff: noqa: RUF001
"""Language detection by common words, for texts whose language nobody has declared."""

from functools import cache

# The most common words of languages for which Postgres knows word forms.
COMMON = {
    "arabic": "في من على إلى أن التي الذي عن مع كان كانت هذا هذه ما لا بين كما قد وقد هو",
    "danish": "og er det der den som til på med for ikke af han jeg at en et de var fra",
    "dutch": "de het een van en in is dat op te zijn met voor niet aan er om ook als maar",
    "english": "the of and to in is that for it was on are with as be this by from at which",
    "finnish": "ja on ei se että oli joka hän mutta myös ovat kun niin sekä tai kuin vuonna jotka hänen olla",
    "french": "le la les de des et un une du en est que qui dans pour par sur au aux ce",
    "german": "der die das und ist von mit den dem des ein eine einer zu im nicht auf für als auch",
    "greek": "και το του της η ο την τον να με στην των οι τα στο από για που είναι σε",
    "hindi": "के की में है और से को का एक हैं यह पर ने लिए इस भी कि हो था तो",
    "hungarian": "a az és hogy egy nem is volt ez meg csak mint már de vagy ha azt még után által",
    "indonesian": "yang dan di dari untuk dengan pada ini adalah itu ke dalam tidak oleh ada akan juga atau bisa dapat",
    "italian": "il la di che e un una è per del della in non con si le dei da sono al",
    "norwegian": "og er det som til på med for ikke av jeg å en et de var fra ble kan har",
    "portuguese": "o a de que e do da em um uma para com não os as no na por mais dos",
    "romanian": "și de la în cu a pe care este din un o pentru nu că mai sau fost al ale",
    "russian": "и в не на что с по как это из к а для его от за был или при также",
    "spanish": "el la de que y en los las un una del por con para es se no al su lo",
    "swedish": "och är det som till på med för inte av jag att en ett de var från blev kan har",
    "turkish": "ve bir bu için ile da de olarak çok daha olan gibi en ne var sonra kadar değil ama veya",
}
LANGUAGES = sorted(COMMON)
MAX_CHARACTERS = 500
MIN_WORDS = 2


def language_of(text: str, known: frozenset[str]) -> str:
    """The text search configuration for ``text``, among those that the database knows.

    It is the language that has most of its common words among the first 500 characters, and at least two of them; else
    'simple', which works for every language and knows the word forms of none.
    """
    votes, common = _votes()
    counts = sum(map(votes.__getitem__, common.intersection(text[:MAX_CHARACTERS].lower().split())))
    # The first of several with as many, so that a tie is decided in the same way by every process.
    by_language = counts.to_bytes(len(COMMON), "little")
    most = max(by_language)
    found = LANGUAGES[by_language.index(most)]
    return found if most >= MIN_WORDS and found in known else "simple"


@cache
def _votes() -> tuple[dict[str, int], frozenset[str]]:
    """What a common word adds to the counts of its languages, a byte of one number for each; and all of these words.

    So the votes of a text are counted by one addition for each of its words. No language has 255 of them.
    """
    votes: dict[str, int] = {}
    for place, name in enumerate(LANGUAGES):
        for word in set(COMMON[name].split()):
            votes[word] = votes.get(word, 0) + (1 << 8 * place)
    return votes, frozenset(votes)
