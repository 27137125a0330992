from tests.integration.search.conftest import index, provider

__all__ = ["index", "provider"]
