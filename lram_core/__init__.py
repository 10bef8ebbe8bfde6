"""Large Recurrent Action Models: model, recurrent inference, bundle, data and training."""
