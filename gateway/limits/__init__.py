"""How fast may it go?"""
