"""The commands about objects: what they were, how they differ, who did it, what came of it."""
