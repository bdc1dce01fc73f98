"""Gradients: `backward`, `grad`, modes, hooks, custom `Function`s, `functional`, `gradcheck`. Read `engine` first."""
