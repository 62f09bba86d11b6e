"""ONNX: the recurrent nodes of a graph, and the constants that are their weights."""
