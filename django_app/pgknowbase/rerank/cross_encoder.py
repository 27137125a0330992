"""Cross-encoders on this machine, from folders of exported models: no network, no key, no torch."""

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pgknowbase.embeddings.base import shorten
from pgknowbase.embeddings.folder import ModelFolder, ports_shown
from pgknowbase.embeddings.onnx_header import FLOATS, Port
from pgknowbase.embeddings.weights import require
from pgknowbase.errors import ConfigurationError, RerankError
from pgknowbase.rerank.base import Deadline, Reranker, Scores, check_scores

_INSTALL = "run `pip install 'django-pgknowbase[local]'`"
_OUTPUTS = ("logits", "scores", "score")
# Of what the model reads, the most that a query takes: the rest is the text's.
_QUERY_SHARE = 0.5


class CrossEncoderReranker(Reranker):
    """A cross-encoder that was exported to ONNX, such as ``ms-marco-MiniLM-L6-v2`` or Ettin's.

    It reads query and text together and gives one number, or two, of which the second is for what answers. Scores are
    from 0 to 1. It is loaded at the first use, and one instance is shared by all threads.

    Args:
        model: a name for it.
        path: the folder: ``model.onnx`` (also in ``onnx/``, also quantized), ``tokenizer.json``, ``config.json``.
        file: the ONNX file in it, where there are several.
        max_tokens: how many tokens of query and text together are read, where that is fewer than the model could.
        threads: how many texts are scored at the same time; default: as many as CPUs.

    Raises:
        ConfigurationError: an argument is wrong, or something of the folder.
        MissingExtraError: a package is absent.
    """

    max_texts = 1000

    def __init__(
        self,
        *,
        model: str,
        path: str | os.PathLike[str] | None = None,
        file: str | None = None,
        max_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        if path is None:
            raise ConfigurationError("CrossEncoderReranker has no PATH: set it to the folder of an exported model.")
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ConfigurationError(f"THREADS is {threads!r}: use a whole number from 1 on, or leave it out.")
        require(("numpy", "onnxruntime", "tokenizers"), backend="CrossEncoderReranker", install=_INSTALL)
        self.model, self.threads = model, threads or os.cpu_count() or 1
        self._folder = ModelFolder.read(path, file=file, max_tokens=max_tokens)
        self._output = _output(self._folder)
        self._loaded: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """See ``Reranker``."""
        return repr((super().fingerprint, self._folder.digest, self._folder.max_tokens))

    def score(self, query: str, texts: Sequence[str], deadline: Deadline) -> Scores:
        """See ``Reranker``."""
        session, tokenizer = self.load()
        head = tokenizer.encode(query, add_special_tokens=False)
        head.truncate(int(self._folder.max_tokens * _QUERY_SHARE))
        room = self._folder.max_tokens - len(head.ids) - tokenizer.num_special_tokens_to_add(True)

        def one(text: str) -> float:
            deadline.check()
            tail = tokenizer.encode(text, add_special_tokens=False)
            tail.truncate(max(room, 1))
            return self._score(session, tokenizer.post_process(head, tail))

        workers = min(self.threads, len(texts))
        if workers <= 1:
            scores = [one(text) for text in texts]
        else:
            with ThreadPoolExecutor(workers) as pool:
                scores = list(pool.map(one, texts))
        check_scores(scores, count=len(texts), server=self.model)
        return Scores(scores)

    def load(self) -> tuple[Any, Any]:
        """Session and tokenizer, loaded now instead of at the first use.

        Raises:
            ConfigurationError: a file is damaged.
        """
        with self._lock:
            if self._loaded is None:
                tokenizer = self._folder.open_tokenizer()
                tokenizer.no_truncation()  # query and text are cut each by itself
                self._loaded = self._folder.open_session(), tokenizer
            return self._loaded

    def _score(self, session: Any, encoding: Any) -> float:
        import numpy as np

        try:
            (found,) = session.run([self._output.name], self._folder.feeds(encoding.ids, encoding.type_ids))
        except Exception as error:  # each of onnxruntime's errors is a class beneath Exception alone
            raise RerankError(
                f"The model {str(self._folder.model)!r} fails for {len(encoding.ids)} tokens ({shorten(str(error))}):"
                " check that its tokenizer is its own, and that it reads MAX_TOKENS."
            ) from error
        numbers = np.asarray(found, np.float64).reshape(-1)
        if len(numbers) > 2 or not len(numbers):
            raise RerankError(
                f"The output {self._output.name!r} of {str(self._folder.model)!r} has the shape {np.shape(found)!r},"
                " and a score is one number or two: export a cross-encoder."
            )
        difference = float(numbers[-1] - numbers[0]) if len(numbers) == 2 else float(numbers[0])
        return _sigmoid(difference)


def _sigmoid(number: float) -> float:
    if math.isnan(number):
        return number
    return 1 / (1 + math.exp(-max(min(number, 700.0), -700.0)))


def _output(folder: ModelFolder) -> Port:
    usable = [port for port in folder.header.outputs if port.kind in FLOATS and _is_score(port)]
    found = next((port for name in _OUTPUTS for port in usable if port.name == name), next(iter(usable), None))
    if found is None:
        raise ConfigurationError(
            f"{str(folder.model)!r} has the outputs {ports_shown(folder.header.outputs)}, none of which is a score:"
            " export a cross-encoder for the task 'text-classification'."
        )
    return found


def _is_score(port: Port) -> bool:
    if port.shape is None:
        return port.name in _OUTPUTS
    return len(port.shape) == 1 or (len(port.shape) == 2 and port.shape[1] in (None, 1, 2))
