"""Agents and the chat in the protocols of front ends: AG-UI and the Vercel AI SDK, by pydantic-ai's adapters."""
