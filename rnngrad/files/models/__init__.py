"""Trained models' files -> the contract's parameters: PyTorch, Keras, ONNX.

    contents = read_model(Path("model.safetensors"))     # all nets of the file
    net = choose(contents, "encoder.rnn.")               # one of them
    net.layers[0].parameters["W_hh"]

Packages of other people are imported where they are needed, and named where they are missing.
"""

from rnngrad.files.models.choosing import choose
from rnngrad.files.models.layouts import LAYOUTS, Layout, load_model_array, read_model
from rnngrad.files.models.records import (
    Contents,
    Dense,
    Found,
    Layer,
    ModelFileError,
    Refused,
    Stored,
)

__all__ = [
    "LAYOUTS",
    "Contents",
    "Dense",
    "Found",
    "Layer",
    "Layout",
    "ModelFileError",
    "Refused",
    "Stored",
    "choose",
    "load_model_array",
    "read_model",
]
