"""What the findings of the top rules predict, seen on the real servers and the real kernel."""
