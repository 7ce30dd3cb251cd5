"""FedAvg on handwritten digits, as apps were written before messages."""
