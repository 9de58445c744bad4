"""Training: scene-sized models from nothing, and models of photographs on the features of a published CNN."""
