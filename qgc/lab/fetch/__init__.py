"""Downloads of photographs, questions and weights: resumed where they stopped, checked, and never run."""
