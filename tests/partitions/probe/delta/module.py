"""A module that does what it is told."""

from tests.partitions.probe.servicer import probe_module

DeltaModule = probe_module("delta")
