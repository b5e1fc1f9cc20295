"""The scripted teacher of ALFWorld: a planner that knows the game, and an expert that knows only the history."""
