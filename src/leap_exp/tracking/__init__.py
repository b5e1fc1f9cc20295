"""Where results go: always a file of JSON lines beside the records, and Weights & Biases where wanted."""
