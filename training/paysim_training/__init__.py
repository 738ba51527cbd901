"""Everything that learns: ``paysim train`` and ``paysim evaluate``.

A run is one folder that reproduces itself: resolved config, scenario, versions, checkpoints, TensorBoard
events, model, and the evaluation of the learned policy beside the scripted ones on seeds never trained on.
"""
