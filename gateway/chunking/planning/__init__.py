"""The parts of a call before anything is sent: how large, with what around them."""
