"""The REST API: a Django app of its own, for ``INSTALLED_APPS`` where it is wanted. Routes need the extra ``api``."""
