"""Language models behind OpenAI-compatible servers: requests, retries, a budget, a cache and an account."""

from leap_exp.llm.adapters import AdapterServer
from leap_exp.llm.client import ChatClient, Outcome
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.estimate import Estimate, estimate
from leap_exp.llm.records import ChatFailure, ChatReply, ChatRequest, CompletionRequest, Message, TokenLogprob

__all__ = [
    "AdapterServer",
    "ChatClient",
    "ChatFailure",
    "ChatReply",
    "ChatRequest",
    "CompletionRequest",
    "Endpoint",
    "Estimate",
    "Message",
    "Outcome",
    "TokenLogprob",
    "estimate",
]
