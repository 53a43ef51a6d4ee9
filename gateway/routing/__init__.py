"""Where may it go, and in which order?"""
