"""The verbs: what a user asks for, from nouns to nouns, as sequences of steps."""
