"""Small things that several rooms need, one subject a file; imports no room."""
