from pgknowbase.testing.lexical import LexicalEmbedder


class Turned(LexicalEmbedder):
    """Vectors of the same model's name and dimensions, in which everything lies elsewhere."""

    def _vector(self, text):
        return [-value for value in reversed(super()._vector(text))]
