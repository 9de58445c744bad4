"""How fast, and how exact: ours, Captum and pytorch-grad-cam, and a training run of the full size."""
