"""Keywords: the ``language`` of a document; its words are computed in the database, see ``sql/30_keywords``."""
