"""Laws are fitted to losses and scores."""
