"""The shop itself: catalogue, search, goals, pages, sessions and rewards."""
