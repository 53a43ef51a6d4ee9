"""Does it fit, and if not, how is it cut?"""
