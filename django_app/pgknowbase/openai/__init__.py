"""OpenAI's chat completions, models and embeddings over what the caller may see, for programs that know no other API.

``routes`` reads a request and answers it; ``completions`` are the chat and the agents as completions, ``messages`` the
conversation in a request, ``embeddings`` the vectors, ``errors`` refusals in OpenAI's form. Needs the extra ``api``.
"""
