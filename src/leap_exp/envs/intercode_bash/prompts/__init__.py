"""How models are told about InterCode-Bash."""

from leap_exp.envs.prompts import read_prompts

PROMPTS = read_prompts(__name__)
