"""Orders: what may leave, what waits in the dark, and when it is sent."""
