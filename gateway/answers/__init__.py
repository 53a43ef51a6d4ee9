"""Was it answered before?"""
