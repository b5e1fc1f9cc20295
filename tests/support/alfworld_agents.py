"""The agents of the alfworld package, with small random networks, where their pretrained ones are not at hand."""

import importlib
import importlib.util
import sys
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


def make_agent(name, config, *, seed):
    """Return the agent ``name`` (such as "TextDAggerAgent") of the package, with random weights.

    The package imports libraries for its agents that see images; they are replaced if they are missing.
    """
    missing = [each for each in ("torchvision", "cv2", "h5py") if importlib.util.find_spec(each) is None]
    # Loaded before, because transformers asks for torchvision.
    tokenizer, model = transformers.DistilBertTokenizer, transformers.DistilBertModel
    sys.modules.update({each: MagicMock() for each in missing})
    try:
        agents = importlib.import_module("alfworld.agents.agent")
    finally:
        for each in missing:
            del sys.modules[each]
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
