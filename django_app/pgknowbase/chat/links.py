"""Addresses of what an answer cites, for programs elsewhere."""

from typing import Any
from urllib.parse import urljoin

from pgknowbase.api.links import resource_uri
from pgknowbase.conf import get_settings
from pgknowbase.errors import NotFoundError, SearchError
from pgknowbase.search import service
from pgknowbase.search.schemas import described


def citation_id(citation: dict[str, Any]) -> str:
    """The id of the object that is cited, such as ``blog.Article:12``, from the JSON that a message stores."""
    return f"{citation['model']}:{citation['object_key']}"


def citation_url(citation: dict[str, Any], user: Any, site: str) -> str:
    """The page of the row that is cited, or the URI of its document."""
    return citation_page(citation, user, site) or resource_uri(citation_id(citation))


def citation_page(citation: dict[str, Any], user: Any, site: str) -> str | None:
    """The page of the row that is cited, None if it has none."""
    try:
        _, row = service.find_object(citation["model"], citation["object_key"], viewer=user)
        (known,) = described([row], get_settings().database)
    except (NotFoundError, SearchError):  # it was there a moment ago
        return None
    return urljoin(site, known["url"]) if known["url"] else None
