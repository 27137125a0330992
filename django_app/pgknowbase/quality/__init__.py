"""How well searches rank, by labelled queries, and what they can learn from them."""
