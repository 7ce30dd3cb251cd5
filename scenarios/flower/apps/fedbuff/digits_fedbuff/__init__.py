"""FedBuff on handwritten digits, over the plain Grid."""
