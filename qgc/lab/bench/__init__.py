"""How fast, and how exact: ours, Captum and pytorch-grad-cam, and a training of the full size."""
