"""Deep fusion of image and text: cross attention and the tower that stacks it."""
