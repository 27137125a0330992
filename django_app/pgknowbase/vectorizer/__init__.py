"""The vectorizer: from documents to chunks with embeddings.

In reading order: ``runners`` choose the space, ``executor`` leases and writes documents, ``chunking`` cuts them,
``embedding`` embeds the new chunks, ``backoff`` spares a failing provider; ``filling`` does it for one space by hand.
"""
