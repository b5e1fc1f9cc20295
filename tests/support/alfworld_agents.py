"""The agents of the alfworld package, with small random networks, where their pretrained ones are not at hand."""

import importlib.abc
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest.mock import MagicMock, patch

import torch
import transformers


class _Tokenizer:
    """Words as tokens; the package takes its tokenizer from the hub."""

    def __init__(self, size=512):
        self._size = size

    def get_vocab(self):
        return {f"token {index}": index for index in range(self._size)}

    def encode(self, text, add_special_tokens=False):
        return [1 + sum(map(ord, word)) % (self._size - 1) for word in text.split()]


class _Bert(torch.nn.Module):
    """The part of a language model that the package uses: embeddings."""

    def __init__(self, size=512):
        super().__init__()
        self.embeddings = torch.nn.Module()
        self.embeddings.word_embeddings = torch.nn.Embedding(size, 768)
        self.embeddings.forward = self.embeddings.word_embeddings.forward


class _StandIn(ModuleType):
    """A module with any attribute."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the libraries that only agents with images need, if nothing else has found them."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in ("torchvision", "cv2", "h5py"):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        """Do nothing: the module is empty."""


def make_agent(name, config, *, seed):
    """Return the agent ``name`` (such as "TextDAggerAgent") of the package, with random weights.

    The package imports libraries for its agents that see images; they are replaced if they are missing.
    """
    # Loaded before the stand-ins are there, because transformers asks for torchvision.
    tokenizer, model = transformers.DistilBertTokenizer, transformers.DistilBertModel
    with patch.object(sys, "meta_path", [*sys.meta_path, _StandIns()]):
        agents = importlib.import_module("alfworld.agents.agent")
    for name_of_module in [each for each, module in sys.modules.items() if isinstance(module, _StandIn)]:
        del sys.modules[name_of_module]
    torch.manual_seed(seed)
    with (
        patch.object(tokenizer, "from_pretrained", lambda _: _Tokenizer()),
        patch.object(model, "from_pretrained", lambda _: _Bert()),
    ):
        return getattr(agents, name)(config)


def agent_settings(method, *, steps, batch_size):
    """Return the sections of alfworld's configuration that its text agents read."""
    network = {
        "encoder_layers": 1, "encoder_conv_num": 2, "block_hidden_dim": 16, "n_heads": 1, "block_dropout": 0.1,
        "dropout": 0.1, "decoder_layers": 1, "recurrent": True,
    }  # fmt: skip
    limits = {"max_target_length": 8, "generate_top_k": 3, "beam_width": 3, "action_space": "admissible"}
    return {
        "general": {
            "task": "alfred",
            "random_seed": 0,
            "use_cuda": False,
            "training_method": method,
            "observation_pool_capacity": 3,
            "hide_init_receptacles": False,
            "training": {
                "batch_size": batch_size,
                "max_episode": 10,
                "smoothing_eps": 0.1,
                "optimizer": {"learning_rate": 0.001, "clip_grad_norm": 5},
            },
            "evaluate": {"run_eval": True, "batch_size": batch_size},
            "checkpoint": {
                "experiment_tag": "test",
                "report_frequency": 0,
                "load_pretrained": False,
                "load_from_tag": "none",
            },
            "model": network,
        },
        "rl": {
            **limits,
            "epsilon_greedy": {
                "noisy_net": False,
                "epsilon_anneal_episodes": 10,
                "epsilon_anneal_from": 0.3,
                "epsilon_anneal_to": 0.1,
            },
            "replay": {
                "accumulate_reward_from_final": True, "count_reward_lambda": 0.0, "novel_object_reward_lambda": 0.0,
                "discount_gamma_game_reward": 0.9, "discount_gamma_count_reward": 0.5,
                "discount_gamma_novel_object_reward": 0.5, "replay_memory_capacity": 100,
                "replay_memory_priority_fraction": 0.5, "update_per_k_game_steps": 5, "replay_batch_size": 4,
                "multi_step": 3, "replay_sample_history_length": 4, "replay_sample_update_from": 2,
            },
            "training": {
                "max_nb_steps_per_episode": steps,
                "learn_start_from_this_episode": 0,
                "target_net_update_frequency": 500,
            },
        },
        "dagger": {
            **limits,
            "unstick_by_beam_search": False,
            "training": {"max_nb_steps_per_episode": steps},
            "fraction_assist": _annealed("fraction_assist"),
            "fraction_random": _annealed("fraction_random"),
            "replay": {
                "replay_memory_capacity": 100, "update_per_k_game_steps": 5, "replay_batch_size": 4,
                "replay_sample_history_length": 4, "replay_sample_update_from": 2,
            },
        },
        "vision_dagger": {"resnet_fc_dim": 16, "model_type": "resnet"},
    }  # fmt: skip


def _annealed(name):
    return {f"{name}_anneal_episodes": 10, f"{name}_anneal_from": 1.0, f"{name}_anneal_to": 0.1}
