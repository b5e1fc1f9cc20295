"""Language models behind OpenAI-compatible servers: requests, retries, a budget, a cache and an account."""

from leap_exp.llm.client import ChatClient
from leap_exp.llm.endpoint import Endpoint
from leap_exp.llm.estimate import Estimate, estimate
from leap_exp.llm.records import ChatFailure, ChatReply, ChatRequest, Message, TokenLogprob

__all__ = [
    "ChatClient",
    "ChatFailure",
    "ChatReply",
    "ChatRequest",
    "Endpoint",
    "Estimate",
    "Message",
    "TokenLogprob",
    "estimate",
]
