"""Text: class lists and captions to prompts, prompts to tokens, tokens to features."""
