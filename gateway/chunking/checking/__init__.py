"""What is right and wrong with the answer to a part."""
