"""Teachers: they correct the steps of a student's trajectories, given a briefing for each."""
