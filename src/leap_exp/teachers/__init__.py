"""Teachers: they relabel a student's steps under a briefing."""
