"""A module that does what it is told."""

from tests.partitions.probe.servicer import probe_module

GammaModule = probe_module("gamma")
