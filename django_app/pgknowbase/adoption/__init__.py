"""Taking over a live database of pgai's vectorizers: rows, chunks and vectors, without a call to a provider."""
