"""FedAdagrad on handwritten digits, with more than the strategy comes with."""
