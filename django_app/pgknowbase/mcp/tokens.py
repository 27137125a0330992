"""Tokens of the API as bearer tokens of the MCP server."""

from mcp.server.auth.provider import AccessToken, TokenVerifier

from pgknowbase.api.tokens import verify_token
from pgknowbase.mcp.threads import in_thread

SCOPE = "search"


class ApiTokens(TokenVerifier):
    """Accepts the tokens that the REST API accepts."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the SDK needs to know of a valid token."""
        known = await in_thread(lambda: verify_token(token))
        if known is None:
            return None
        expires = int(known.expires_at.timestamp()) if known.expires_at else None
        return AccessToken(
            token=token, client_id=str(known.pk), scopes=known.scopes, expires_at=expires, subject=str(known.user.pk)
        )
