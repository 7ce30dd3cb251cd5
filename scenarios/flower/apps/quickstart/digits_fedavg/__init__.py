"""FedAvg on handwritten digits."""
