"""Word-region alignment: token logits and their pooling to labels."""
