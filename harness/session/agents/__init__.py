"""The agents of a run: where they are, where they write, how they are asked, and that they leave."""
