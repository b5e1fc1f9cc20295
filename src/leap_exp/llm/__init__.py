"""Language models behind OpenAI-compatible servers: requests, retries, budget, cache and usage."""

from leap_exp.llm.adapter_server import AdapterServer
from leap_exp.llm.client import ChatClient
from leap_exp.llm.cost import CHARACTERS_PER_TOKEN, CostEstimate, estimate_cost
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.messages import (
    ChatFailure,
    ChatReply,
    ChatRequest,
    ChatResult,
    CompletionRequest,
    Message,
    ModelRequest,
    TokenLogprob,
)

__all__ = [
    "CHARACTERS_PER_TOKEN",
    "AdapterServer",
    "ChatClient",
    "ChatFailure",
    "ChatReply",
    "ChatRequest",
    "ChatResult",
    "CompletionRequest",
    "CostEstimate",
    "Endpoint",
    "Message",
    "ModelRequest",
    "TokenLogprob",
    "estimate_cost",
]
