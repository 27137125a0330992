"""How well searches rank labelled queries: nDCG, the fit of the dense weight, and the comparison of two spaces."""
