"""The engine behind a vLLM server, which continues the very tokens that the student is trained on.

It does not score. Training needs the weights in this process anyway, and here a trajectory is scored in one pass, where
vLLM's ``prompt_logprobs`` read every branch as a prompt of its own, without its cache. With adapters on a processor
they even end vLLM 0.32.0 as soon as two requests are computed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import DecisionFailure
from leap_exp.llm import ChatClient, ChatFailure, ChatResult, CompletionRequest, Endpoint
from leap_exp.students.engines.vllm_server import Serving, VllmServer
from leap_exp.students.weights import weights_digest
from leap_exp.tokens.engine import GREEDY, Adapters, Engine, Generation, Prompt, Sampling
from leap_exp.tokens.tree import ROOT, TokenTree

_ALL_TOKENS = 0
"""What vLLM takes for no ``top_k``."""


class VllmEngine(Engine):
    """Generates through a server.

    Args:
        endpoint: The server and the name of the base model there.
        serving: What the server must offer, and how one is started.

    Raises:
        ProviderError: No suitable server answers, and none can be started.
    """

    def __init__(self, endpoint: Endpoint, serving: Serving) -> None:
        self._server = VllmServer(endpoint, serving)
        self._client = ChatClient(endpoint, place="student.endpoint", recover=self._server.recover)
        self._server.require()
        self._model = endpoint.model

    def load_adapter(self, adapters: Adapters) -> None:
        """Load the adapter into the server, under a name made from its weights.

        The name keeps cached answers of different adapters apart.

        Raises:
            ProviderError: There is no server, or it rejects the adapter.
        """
        folder = adapters[0][0] if adapters else None
        self._model = self._server.base_model if folder is None else f"leap-{weights_digest(str(folder))[:16]}"
        self._server.provide(self._model, folder)

    def generate(
        self, prompts: Sequence[Prompt], *, stop_ids: frozenset[int], max_new_tokens: int, sampling: Sampling = GREEDY
    ) -> list[Generation | DecisionFailure]:
        """Continue each prompt on the server; a prompt without an answer becomes a failure."""
        ends = tuple(sorted(stop_ids))
        requests = [
            replace(_request(self._model, prompt.ids, prompt.seed, sampling), stop_ids=ends, max_tokens=max_new_tokens)
            for prompt in prompts
        ]
        return [
            DecisionFailure(error=result.error)
            if isinstance(result, ChatFailure)
            else Generation(text=result.text or result.refusal, is_cut_off=result.is_truncated)
            for result in self._client.complete(requests)
        ]

    def choose(
        self, prompts: Sequence[Prompt], trees: Sequence[TokenTree], *, sampling: Sampling = GREEDY
    ) -> list[tuple[int, ...] | DecisionFailure]:
        """Continue each prompt along its tree, with one request per fork; a prompt without an answer becomes a failure.

        All prompts are asked together, fork by fork. vLLM's own choice among texts would write them in other tokens.
        """
        walks = [_Walk(prompt, tree) for prompt, tree in zip(prompts, trees, strict=True)]
        while forks := [walk for walk in walks if walk.options]:
            results = self._client.complete([walk.request(self._model, sampling) for walk in forks])
            for walk, result in zip(forks, results, strict=True):
                walk.take(result)
        return [walk.failure or tuple(walk.written) for walk in walks]

    def usage(self) -> Mapping[str, float]:
        """Return what was asked of the server since the last call."""
        return self._client.take_usage()

    def sleep(self) -> None:
        """Let a server that was started here free the accelerator's memory, until an adapter is loaded."""
        self._server.sleep()


class _Walk:
    """One conversation on its way along the tree of what it may say."""

    def __init__(self, prompt: Prompt, tree: TokenTree) -> None:
        self._prompt = prompt
        self._tree = tree
        self._place = ROOT
        self.written: list[int] = []
        self.failure: DecisionFailure | None = None
        self._follow()

    @property
    def options(self) -> tuple[int, ...]:
        """The tokens to choose from next; empty at the end, and after a failure."""
        return () if self.failure else tuple(self._tree.children(self._place))

    def request(self, model: str, sampling: Sampling) -> CompletionRequest:
        """Return the request for the next token."""
        request = _request(model, [*self._prompt.ids, *self.written], self._prompt.seed, sampling)
        return replace(request, allowed_ids=self.options, max_tokens=1)

    def take(self, result: ChatResult) -> None:
        """Go on with the token in the server's answer, up to the next fork."""
        if isinstance(result, ChatFailure):
            self.failure = DecisionFailure(error=result.error)
            return
        tokens = result.token_ids or ()
        if len(tokens) != 1 or tokens[0] not in self.options:
            self.failure = DecisionFailure(
                error=f"The server answered with the tokens {list(tokens)}, of which none is in allowed_token_ids. "
                "student.decoding=admissible needs vLLM; set student.decoding=free."
            )
            return
        self._step(tokens[0])
        self._follow()

    def _follow(self) -> None:
        """Write tokens as long as there is no alternative."""
        while len(self.options) == 1:
            self._step(self.options[0])

    def _step(self, token: int) -> None:
        self.written.append(token)
        self._place = self._tree.children(self._place)[token]


def _request(model: str, ids: Sequence[int], seed: int, sampling: Sampling) -> CompletionRequest:
    """Return the request to continue ``ids``, without its limits."""
    request = CompletionRequest(prompt_ids=tuple(ids), model=model, temperature=sampling.temperature, seed=seed)
    if sampling.temperature == 0:
        return request
    # The reason and each token of the action draw from the same seed, and all settings are sent, because vLLM takes
    # those that are missing from the model's files.
    return replace(
        request, seed=derive_seed(seed, "tokens", len(ids)), top_p=sampling.top_p, top_k=sampling.top_k or _ALL_TOKENS
    )
