"""XGBoost: batches of a training join as the iterator that it builds its matrices from."""
