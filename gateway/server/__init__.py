"""Who is calling, and how do we answer?"""
