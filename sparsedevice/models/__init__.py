"""What is learnt: how rows of tables become scores, and what a step of training does to them."""
