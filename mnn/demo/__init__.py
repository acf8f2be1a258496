"""Package data of `mnn demo`: a small digit classifier and pictures it was not trained on.

`digits.mnn` is written by `examples/digits/train.py`, the pictures by
`examples/digits/export_samples.py`; `digit_<label>_<number>.png` shows the digit `<label>`. They
come from "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak; UCI Machine Learning
Repository, CC BY 4.0), bundled with scikit-learn.
"""
