"""The learner: data, models, local training and aggregation. The only importer of torch."""
