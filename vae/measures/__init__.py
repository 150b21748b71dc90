"""Numbers of a model and a set of images: the latents in use, the parts of the rate, bounds on ln p(x). In nats."""
