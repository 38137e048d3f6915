"""Schedule of the official ODinW fine-tuning (GLIP appendix E.2 and the official commands).

One pass covers the training images, each copied as often as `copies` says for the number of shots.
The validation set is scored after every pass.
"""
schedule = dict(
    max_epochs=200,
    batch_size=4,
    clip_norm=1.0,
    # (shots, copies): the first row with at least as many shots counts; once beyond them.
    copies=[(1, 8), (3, 4), (5, 2), (10, 1)],
    # Evaluations without gain before the rate falls tenfold, and before the run ends.
    few_shot=dict(step_patience=3, stop_patience=8),
    all_data=dict(step_patience=2, stop_patience=4))
