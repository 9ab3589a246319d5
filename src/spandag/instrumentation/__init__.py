"""Instrumentors: one package a framework, one file a framework operation."""
