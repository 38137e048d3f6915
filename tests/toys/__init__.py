"""Methods that nobody needs, to see that the general rooms serve any method."""
