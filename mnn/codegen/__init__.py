"""Kernel generator: structured LLVM text, targets, templates, object code and its cache."""
